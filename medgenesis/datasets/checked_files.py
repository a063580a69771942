"""The files of a data set must be there, all of them."""

from pathlib import Path

from medgenesis.errors import DatalistError


def checked_files(records: list[dict], root: Path) -> list[dict]:
    """The records, whose images and label maps must be there.

    Raises:
        DatalistError: how many are absent, and the first five; or there is none at all.
    """
    files = [name for record in records for name in (record["image"], record.get("label")) if name]
    absent = [name for name in files if not Path(name).exists()]
    if absent or not records:
        names = ", ".join(Path(name).name for name in absent[:5])
        raise DatalistError(
            f"{root}: the files of the data set must be there; found {len(absent)} of {len(files)} absent"
            f"{names and ', the first '}{names}. Unpack the whole data set."
        )
    return records
