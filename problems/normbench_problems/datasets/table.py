"""The datasets that come with normbench; free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import DataFile, Dataset, Source, hookimpl
from normbench_problems.datasets.streamed_table import IMAGENET, TOLSTOI, UNMEASURED

DIGITS = Dataset(
    name="digits",
    summary="1797 grey 8x8 images of handwritten digits, embedded in scikit-learn",
    source=Source(
        title="Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, UCI 1998",
        reference="doi:10.24432/C50P49",
        licence="CC BY 4.0",
        deviations=(
            "Grey levels 0 to 16 are stored as 0 to 240 in steps of 15.",
            "The test part is a fixed fifth of each digit, as there is no official one here.",
        ),
    ),
    factory="normbench_problems.datasets.digits:digits",
    shape=(8, 8, 1),
    classes=10,
    train_size=1438,
    test_size=359,
    mean=(0.2878,),
    std=(0.3544,),
)

FMNIST = Dataset(
    name="fmnist",
    summary="70 000 grey 28x28 images of ten kinds of clothing (Fashion-MNIST)",
    source=Source(
        title="Fashion-MNIST, Xiao, Rasul and Vollgraf 2017",
        reference="arXiv:1708.07747",
        licence="MIT",
    ),
    factory="normbench_problems.datasets.fmnist:fmnist",
    shape=(28, 28, 1),
    classes=10,
    train_size=60_000,
    test_size=10_000,
    files=(
        DataFile(
            path="FashionMNIST/raw/train-images-idx3-ubyte",
            md5="f4a8712d7a061bf5bd6d2ca38dc4d50a",
            size=47_040_016,
        ),
        DataFile(
            path="FashionMNIST/raw/train-labels-idx1-ubyte",
            md5="9018921c3c673c538a1fc5bad174d6f9",
            size=60_008,
        ),
        DataFile(
            path="FashionMNIST/raw/t10k-images-idx3-ubyte",
            md5="8181f5470baa50b63fa0f6fddb340f0a",
            size=7_840_016,
        ),
        DataFile(
            path="FashionMNIST/raw/t10k-labels-idx1-ubyte",
            md5="15d484375f8d13e6eb1aabb0c3f46965",
            size=10_008,
        ),
    ),
    download_size=30_878_645,
)

_CIFAR_SOURCE = Source(
    title="Learning Multiple Layers of Features from Tiny Images, Krizhevsky 2009",
    reference="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; the authors ask for citation",
)

CIFAR10 = Dataset(
    name="cifar10",
    summary="60 000 colour 32x32 photographs of ten classes (CIFAR-10)",
    source=_CIFAR_SOURCE,
    factory="normbench_problems.datasets.cifar10:cifar10",
    shape=(32, 32, 3),
    classes=10,
    train_size=50_000,
    test_size=10_000,
    mean=(0.49139968, 0.48215841, 0.44653091),
    std=(0.24703223, 0.24348513, 0.26158784),
    files=(
        DataFile(
            path="cifar-10-batches-py/data_batch_1",
            md5="c99cafc152244af753f735de768cd75f",
            size=31_035_704,
        ),
        DataFile(
            path="cifar-10-batches-py/data_batch_2",
            md5="d4bba439e000b95fd0a9bffe97cbabec",
            size=31_035_320,
        ),
        DataFile(
            path="cifar-10-batches-py/data_batch_3",
            md5="54ebc095f3ab1f0389bbae665268c751",
            size=31_035_999,
        ),
        DataFile(
            path="cifar-10-batches-py/data_batch_4",
            md5="634d18415352ddfa80567beed471001a",
            size=31_035_696,
        ),
        DataFile(
            path="cifar-10-batches-py/data_batch_5",
            md5="482c414d41f54cd18b22e5b47cb7c3cb",
            size=31_035_623,
        ),
        DataFile(
            path="cifar-10-batches-py/test_batch",
            md5="40351d587109b95175f43aff81a1287e",
            size=31_035_526,
        ),
        DataFile(
            path="cifar-10-batches-py/batches.meta",
            md5="5ff9c542aee3614f3951f8cda6e48888",
            size=158,
        ),
    ),
    download_size=170_498_071,
)

CIFAR100 = Dataset(
    name="cifar100",
    summary="60 000 colour 32x32 photographs of a hundred classes (CIFAR-100)",
    source=_CIFAR_SOURCE,
    factory="normbench_problems.datasets.cifar100:cifar100",
    shape=(32, 32, 3),
    classes=100,
    train_size=50_000,
    test_size=10_000,
    mean=(0.50707516, 0.48654887, 0.44091784),
    std=(0.26733429, 0.25643846, 0.27615047),
    files=(
        DataFile(
            path="cifar-100-python/train",
            md5="16019d7e3df5f24257cddd939b257f8d",
            size=155_249_918,
        ),
        DataFile(
            path="cifar-100-python/test",
            md5="f0ef6b0ae62326f3e7ffdfab6717acfc",
            size=31_049_707,
        ),
        DataFile(
            path="cifar-100-python/meta",
            md5="7973b15100ade9c7d40fb424638fde48",
            size=1_473,
        ),
    ),
    download_size=169_001_437,
)

QUADRATIC_DEEP = Dataset(
    name="quadratic_deep",
    summary="2000 generated points of N(0, 0.36 I) in 100 dimensions",
    source=Source(
        title="DeepOBS, Schneider, Balles and Hennig, ICLR 2019",
        reference="arXiv:1903.05499",
        licence="MIT",
        deviations=("Validation points are held out of the 1000 train points.",),
    ),
    factory="normbench_problems.datasets.quadratic_deep:quadratic_deep",
    content="table",
    shape=(100,),
    train_size=1000,
    test_size=1000,
)

MNIST = Dataset(
    name="mnist",
    summary="70 000 grey 28x28 images of handwritten digits (MNIST); unmeasured",
    source=Source(
        title="Gradient-Based Learning Applied to Document Recognition, LeCun et al. 1998",
        reference="doi:10.1109/5.726791",
        licence="CC BY-SA 3.0",
        deviations=(UNMEASURED,),
    ),
    factory="normbench_problems.datasets.mnist:mnist",
    shape=(28, 28, 1),
    classes=10,
    train_size=60_000,
    test_size=10_000,
    files=(
        DataFile(
            path="MNIST/raw/train-images-idx3-ubyte",
            md5="6bbc9ace898e44ae57da46a324031adb",
            size=47_040_016,
        ),
        DataFile(
            path="MNIST/raw/train-labels-idx1-ubyte",
            md5="a25bea736e30d166cdddb491f175f624",
            size=60_008,
        ),
        DataFile(
            path="MNIST/raw/t10k-images-idx3-ubyte",
            md5="2646ac647ad5339dbf082846283269ea",
            size=7_840_016,
        ),
        DataFile(
            path="MNIST/raw/t10k-labels-idx1-ubyte",
            md5="27ae3e4e09519cfbb04c329615203637",
            size=10_008,
        ),
    ),
    download_size=11_594_722,
)

SVHN = Dataset(
    name="svhn",
    summary="99 289 colour 32x32 photographs of house numbers' digits (SVHN); unmeasured",
    source=Source(
        title="Reading Digits in Natural Images with Unsupervised Feature Learning, Netzer et al. "
        "2011",
        reference="http://ufldl.stanford.edu/housenumbers/",
        licence="none stated; non-commercial use only",
        deviations=(
            UNMEASURED,
            "The part called extra is not used, as in DeepOBS (arXiv:1903.05499).",
        ),
    ),
    factory="normbench_problems.datasets.svhn:svhn",
    shape=(32, 32, 3),
    classes=10,
    train_size=73_257,
    test_size=26_032,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    files=(
        DataFile(
            path="SVHN/train_32x32.mat",
            md5="e26dedcc434d2e4c54c9b2d4a06d8373",
            size=182_040_794,
        ),
        DataFile(
            path="SVHN/test_32x32.mat",
            md5="eb5a983be6a315427106f1b164d9cef3",
            size=64_275_384,
        ),
    ),
    download_size=246_316_178,
)

DATASETS: tuple[Dataset, ...] = (
    DIGITS,
    MNIST,
    FMNIST,
    CIFAR10,
    CIFAR100,
    SVHN,
    IMAGENET,
    TOLSTOI,
    QUADRATIC_DEEP,
)


@hookimpl
def normbench_datasets() -> Sequence[Dataset]:
    """Offer the datasets of this package."""
    return DATASETS
