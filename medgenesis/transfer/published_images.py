"""The transfer study's published figures of single images, as data: attentive diffusion and perceptual distance.

Source: the tables committed with Anton et al., J. Imaging 8(12):320, 2022. Each number is of one image a data set (of
BACH iv001.tif, of CheXpert the frontal image of patient00001, …). Diffusion in per cent: networks in training mode,
whose batch norm took the statistics of that image. Perceptual in thousandths: LPIPS of reconstructions by 3000
iterations, by AlexNet/VGG-16/SqueezeNet.
"""

from medgenesis.transfer.published_tables import MODELS

LPIPS_NETS = ("alex", "vgg", "squeeze")
_DIFFUSION_COLUMNS = (
    *("shenzhen", "montgomery", "eyepacs", "chestxray14_single", "bach", "ichallenge_amd", "ichallenge_pm"),
    *("chexpert", "imagenet"),
)
_DIFFUSION = """
47.34 51.11 44.51 39.22 54.88 45.95 47.31 39.31 25.99
39.62 42.85 43.58 46.44 42.63 40.41 45.19 48.64 40.85
47.51 53.78 47.76 52.56 48.34 42.43 47.82 51.80 48.66
39.44 40.95 46.69 41.30 41.32 35.87 42.06 49.61 39.22
44.60 48.74 43.48 48.51 48.27 44.54 49.77 48.58 46.80
41.90 43.62 39.73 34.11 42.63 42.99 45.69 46.91 42.86
43.09 42.71 36.02 43.00 43.37 39.13 47.25 50.99 -
45.15 49.17 46.77 43.38 42.58 41.24 40.04 51.73 -
43.98 33.23 40.68 26.28 40.70 42.75 41.72 26.80 45.31
31.45 32.50 36.36 33.15 43.77 40.42 44.57 33.73 34.14
25.57 34.41 47.82 28.27 34.84 45.41 48.65 33.86 -
43.98 28.17 46.54 35.85 37.58 49.74 55.21 26.66 42.15
46.57 31.16 40.68 36.16 47.14 43.94 49.01 32.58 -
"""
_PERCEPTUAL_COLUMNS = (
    *("shenzhen", "montgomery", "eyepacs", "chestxray14_single", "bach", "ichallenge_amd", "ichallenge_pm"),
    *("chexpert", "stoic", "imagenet"),
)
_PERCEPTUAL = """
946/842/915 803/793/767 745/742/639 800/810/795 918/922/873 764/883/721 855/898/734 777/788/688 884/847/671 783/890/804
792/731/666 736/768/670 722/910/597 702/811/674 735/872/706 536/636/434 765/834/495 700/704/610 737/729/627 504/641/427
896/839/832 749/731/677 776/831/654 774/804/809 849/833/654 635/745/561 896/956/707 761/856/754 640/693/411 737/935/762
961/791/844 762/779/654 658/731/505 759/782/742 804/823/614 726/739/576 724/821/576 771/764/714 532/624/360 600/736/502
798/769/847 763/761/761 656/717/519 682/723/659 665/794/556 634/773/500 642/761/489 787/895/681 669/727/576 616/784/595
842/882/887 890/893/892 470/557/337 764/774/813 375/588/264 460/513/319 501/572/384 803/808/782 593/575/421 506/614/377
899/748/791 759/757/729 548/608/465 802/772/764 645/654/469 681/748/569 840/851/683 824/910/791 695/676/455 556/671/461
507/572/533 453/562/399 334/461/218 342/451/321 487/572/274 223/345/143 192/317/141 227/193/401 252/315/141 479/586/392
794/753/629 453/618/458 482/618/461 655/674/566 561/632/412 466/579/362 439/555/371 473/634/418 606/674/428 721/875/669
764/813/728 632/740/641 711/843/611 686/730/601 765/998/760 625/680/495 809/894/721 721/859/757 784/768/559 736/847/732
794/821/651 701/846/626 663/666/618 810/905/746 788/991/803 737/793/629 838/894/709 638/719/580 680/722/509 753/725/607
789/785/879 632/672/595 676/870/635 716/751/724 724/808/652 679/731/625 706/789/608 749/824/780 496/662/412 689/826/644
662/691/662 641/695/585 390/518/390 468/611/494 467/643/357 307/478/259 428/554/365 495/604/398 326/515/237 370/596/368
"""


def published_diffusion(dataset: str) -> dict[str, float]:
    """Model -> attentive diffusion of the study, as a share; empty for a data set that is not of its table."""
    cells = _column(_DIFFUSION, _DIFFUSION_COLUMNS, dataset)
    return {model: float(cell) / 100 for model, cell in cells.items() if cell != "-"}


def published_perceptual(dataset: str) -> dict[str, dict[str, float]]:
    """Network of LPIPS ("alex", "vgg", "squeeze") -> model -> distance of the study; empty likewise."""
    cells = _column(_PERCEPTUAL, _PERCEPTUAL_COLUMNS, dataset)
    parts = {model: cell.split("/") for model, cell in cells.items()}
    return {
        net: {model: float(one[i]) / 1000 for model, one in parts.items()} for i, net in enumerate(LPIPS_NETS) if parts
    }


def _column(text: str, columns: tuple[str, ...], dataset: str) -> dict[str, str]:
    if dataset not in columns:
        return {}
    lines = [line.split() for line in text.strip().splitlines()]
    return {model: line[columns.index(dataset)] for model, line in zip(MODELS, lines, strict=True)}
