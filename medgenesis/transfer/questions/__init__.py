"""The questions of the transfer study: one a file, each with what it keeps in the folder of the study."""
