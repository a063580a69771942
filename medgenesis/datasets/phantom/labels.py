"""The values of the phantom's label maps."""

LABELS: dict[int, str] = {
    0: "background",
    1: "left_lung",
    2: "right_lung",
    3: "heart",
    4: "spine",
    5: "ribs",
    6: "liver",
    7: "nodule",
    8: "airways",
    9: "aorta",
    10: "sternum",
    11: "clavicles",
    12: "scapulae",
    13: "spleen",
    14: "stomach",
    15: "pleural_effusion",
}
"""Value -> name. The lungs' values cover the vessels inside, as annotators draw them. Nodules, and the airways that a
voxel can resolve, have values of their own, so whole lungs are 1, 2 and 7 merged."""

VALUES: dict[str, int] = {name: value for value, name in LABELS.items()}
