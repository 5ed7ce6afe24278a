"""The datasets that are read as a text or from image files; free of torch."""

from __future__ import annotations

from normbench import DataFile, Dataset, Source

UNMEASURED = "Unmeasured: read here from small files of the same format only."

TOLSTOI = Dataset(
    name="tolstoi",
    summary="War and Peace as one text of 3 266 185 characters, 83 different ones; unmeasured",
    source=Source(
        title="DeepOBS, Schneider, Balles and Hennig, ICLR 2019",
        reference="arXiv:1903.05499",
        licence="public domain in the United States",
        deviations=(
            UNMEASURED,
            "No checksum is known: the numbers of characters are checked instead.",
            "Of equally frequent characters the one that occurs first gets the lower code; DeepOBS "
            "left that to chance.",
        ),
    ),
    factory="normbench_problems.datasets.tolstoi:tolstoi",
    content="tokens",
    shape=(50,),
    classes=83,
    train_size=2_612_947,
    test_size=653_236,
    files=(DataFile(path="tolstoi/train.npy"), DataFile(path="tolstoi/test.npy")),
)

IMAGENET = Dataset(
    name="imagenet",
    summary="1 331 167 photographs of a thousand classes, from a folder of files; unmeasured",
    source=Source(
        title="ImageNet Large Scale Visual Recognition Challenge, Russakovsky et al. 2015",
        reference="arXiv:1409.0575",
        licence="non-commercial research and education",
        deviations=(
            UNMEASURED,
            "The official validation part serves as test part.",
            "Files are checked by their number alone.",
        ),
    ),
    factory="normbench_problems.datasets.imagenet:imagenet",
    content="files",
    shape=(224, 224, 3),
    classes=1000,
    train_size=1_281_167,
    test_size=50_000,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    files=(DataFile(path="imagenet/train/"), DataFile(path="imagenet/val/")),
    by_hand="Get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org, "
    "which asks for an account, and unpack them into imagenet/train and imagenet/val of the data "
    "folder, with a folder for each class in both.",
)
