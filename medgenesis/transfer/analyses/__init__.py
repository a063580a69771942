"""What an encoder has learnt, asked without labels."""

from medgenesis.transfer.analyses.restoration import report_restoration, restoration_errors

__all__ = ["report_restoration", "restoration_errors"]
