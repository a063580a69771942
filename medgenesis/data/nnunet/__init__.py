"""What nnU-Net does to images before its network sees them, by its plans."""

from medgenesis.data.nnunet.cases import preprocessed_datalist
from medgenesis.data.nnunet.plans import check_plans, plan_of, read_dataset_json, read_plans
from medgenesis.data.nnunet.preprocessing import nnunet_preprocessing

__all__ = ["check_plans", "nnunet_preprocessing", "plan_of", "preprocessed_datalist", "read_dataset_json", "read_plans"]
