"""The transfer study: how well what an encoder has learnt serves other images, with controls and paired tests.

An ENCODER is a bundle (its name or folder), a file of weights (FILE, or FILE#NAME of `medgenesis weights list`),
module:callable, random:ENCODER, or a control: pixels, handmade, table. LABEL=ENCODER names it in the tables.
A DATASET is a list (.json), a MedMNIST file (.npz), a folder with a folder for each class, or a data set that
`medgenesis datalist --datasets` tells of: NAME=DIR, or NAME below the folder MEDGENESIS_DATA.
Several of both are asked each with each. Features are computed once and kept in OUT/features; results are OUT/results
(a JSON a run), OUT/results.csv (a row a run) and OUT/comparisons.csv (paired tests between encoders).
"""

import argparse

HELP = "ask encoders how well they transfer, with controls and a report"
EXAMPLE = "medgenesis transfer linear --encoder my_model pixels --dataset my_labels.json --out study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from medgenesis.cli.study.analyses import add_analyses
    from medgenesis.cli.study.options import always
    from medgenesis.cli.study.places import add_places
    from medgenesis.cli.study.protocols import add_protocols

    questions = parser.add_subparsers(
        dest="question", required=True, metavar="QUESTION", title="questions", help="what to ask"
    )
    add_protocols(questions)
    add_analyses(questions)
    add_places(questions)
    one = questions.add_parser("report", help="one page of all results of a study")
    one.add_argument("--out", required=True, metavar="OUT", help="folder of the study; report.html is written there")
    one.add_argument("--title", default="Transfer study", help="of the page")
    always(one)


def run(args: argparse.Namespace) -> str:
    """Ask every encoder on every data set, and return the tables; or write the page."""
    from medgenesis.cli.study.analyses import ANALYSES, ask_analysis
    from medgenesis.cli.study.places import QUESTIONS, ask_about_places
    from medgenesis.cli.study.protocols import ask_protocol

    if args.question == "report":
        from medgenesis.transfer.study_report import write_study_report

        return f"written: {write_study_report(args.out, args.title)}"
    if args.question in QUESTIONS:
        return ask_about_places(args)
    return ask_analysis(args) if args.question in ANALYSES else ask_protocol(args)
