"""Make the pictures of the documentation, and the two pages that show them with their commands.

`python scripts/make_gallery.py` runs every command, from the root of a checkout, and writes `docs/pictures/*.webp`,
`docs/gallery.md` and `docs/zh/gallery.md`. `--check` compares instead: status 1 if a page is not the one that is made.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WIDEST = 1400  # pixels of a picture
LAYER = "--target-layers backbone.layers.6"


@dataclass(frozen=True)
class Shot:
    """A picture: its file, what it shows in both languages, and the command, in which OUT is the picture."""

    name: str
    english: str
    chinese: str
    command: str


RESNET, SWIN = "configs/resnet/resnet50_8xb32_in1k.py", "configs/swin_transformer/swin-tiny_16xb64_in1k.py"
SIX = "GradCAM GradCAM++ XGradCAM EigenCAM EigenGradCAM LayerCAM"
SHOTS = (
    Shot(
        "browse-pipeline",
        "A sample after every stage of the training pipeline, with what each stage drew.",
        "一个样本经过训练流水线每一步之后的样子，以及每一步抽到的随机参数。",
        "browse demo --mode pipeline --index 89 --output-dir OUT",
    ),
    Shot(
        "browse-concat",
        "As loaded, and as the network gets it.",
        "读入时的样子，与网络实际得到的样子。",
        "browse demo --mode concat --show-number 12 --grid 3x4 --output-dir OUT",
    ),
    Shot(
        "browse-batch",
        "One training batch.",
        "一个训练批次。",
        "browse demo --batch --show-number 1 --output-dir OUT",
    ),
    Shot(
        "lr-resnet",
        "A step schedule: ResNet-50 on ImageNet, 8 GPUs.",
        "阶梯式学习率：ResNet-50，ImageNet，8 块 GPU。",
        f"lr {RESNET} --dataset-size 1281167 --ngpus 8 --save-path OUT",
    ),
    Shot(
        "lr-swin",
        "Warm-up by step, then half a cosine by epoch: Swin-T.",
        "先逐步预热，再按 epoch 走半个余弦：Swin-T。",
        f"lr {SWIN} --dataset-size 1281167 --ngpus 16 --save-path OUT",
    ),
    Shot(
        "cam-methods",
        "One bird, six methods, one pass through the network.",
        "同一只鸟，六种方法，网络只前向一次。",
        f"cam demo/bird.JPEG demo --method {SIX} {LAYER} --save-path OUT",
    ),
    Shot(
        "cam-classes",
        "Two animals in one photo: the same network, asked for each of them by three methods.",
        "一张照片里的两种动物：同一个网络，用三种方法分别询问。",
        f"cam demo/cat-dog.png demo --whole --method GradCAM GradCAM++ LayerCAM {LAYER} "
        "--target-category 'tiger cat' 'giant panda' --save-path OUT",
    ),
    *(
        Shot(
            f"cam-smooth{number}",
            f"Smoothing: {f'`{words}`' if words else 'none'}.",
            f"平滑：{f'`{words}`' if words else '无'}。",
            f"cam demo/dog.jpg demo --method LayerCAM {LAYER} {words} --save-path OUT".replace("  ", " "),
        )
        for number, words in enumerate(("", "--eigen-smooth", "--aug-smooth", "--eigen-smooth --aug-smooth"))
    ),
    Shot(
        "cam-layers",
        "The same class, layer by layer: coarse places late, edges early.",
        "同一类别，逐层来看：深层给出粗略位置，浅层给出边缘。",
        "cam demo/bird.JPEG demo --method LayerCAM --each-layer "
        "--target-layers backbone.layers.2 backbone.layers.4 backbone.layers.6 --save-path OUT",
    ),
)
VIT, T2T = "vit-base-p16_ft-64xb64_in1k-384", "t2t-vit-t-14_8xb64_in1k"
WITH_CHECKPOINTS = (  # as documented: the config, the published checkpoint, the rest
    (RESNET, "resnet50_batch256_imagenet_20200708-cfb998bf.pth", ""),
    (SWIN, "swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth", " --vit-like"),
    (
        f"configs/vision_transformer/{VIT}.py",
        "vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384_20210928-98e8652b.pth",
        " --vit-like --target-layers 'backbone.layers[-1].ln1'",
    ),
    (
        f"configs/t2t_vit/{T2T}.py",
        "t2t-vit-t-14_3rdparty_8xb64_in1k_20210928-b7c09b62.pth",
        " --vit-like --target-layers 'backbone.encoder[-1].ln1'",
    ),
)
MISSING = {
    "en": """
## What is missing: ResNet, Swin, ViT, T2T-ViT

The original documentation also shows the bird through these four networks. Here they are missing: the pictures of this
page are made with weights that everybody has after `make demo`, and we know no package that brings trained weights of
these four under a licence that is stated. With the checkpoints that OpenMMLab publishes, these commands make the row. The suite runs all of them
with random weights: the way to a map is right, the maps would mean nothing.
""",
    "zh": """
## 缺少的：ResNet、Swin、ViT、T2T-ViT

原来的文档还用这四个网络看同一只鸟。这里没有它们的图：本页的图都用 `make demo` 之后人人都有的权重画出，而我们没有找到哪个软件包带有
这四个网络训练好的、写明许可的权重。
有了 OpenMMLab 发布的检查点，下面的命令就能画出这一行。测试用随机权重运行了全部命令：得到类激活图的过程是对的，但那样的类激活图没有意义。
""",
}
HEADS = {
    DOCS
    / "gallery.md": "# Gallery\n\nEvery picture is made by the command above it, with the weights of the demo network "
    "(`python scripts/make_gallery.py`).\n",
    DOCS
    / "zh"
    / "gallery.md": "# 图集\n\n每张图都由它上方的命令生成，使用演示网络的权重（`python scripts/make_gallery.py`）。\n",
}


def main() -> int:
    """Write the pictures and the pages, or compare the latter; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="status 1 if a page is not the one that is made")
    options = parser.parse_args()
    pages = {path: page_of(path) for path in HEADS}
    if options.check:
        return int(any(path.read_text(encoding="utf-8") != text for path, text in pages.items()))
    for shot in SHOTS:
        take(shot)
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def page_of(path: Path) -> str:
    """The text of a page, in the language that its folder says."""
    text, is_chinese = HEADS[path], path.parent.name == "zh"
    for shot in SHOTS:
        words, place = (shot.chinese, "../pictures") if is_chinese else (shot.english, "pictures")
        output = f"{shot.name}.png" if "--save-path" in shot.command else shot.name
        text += f"\n{words}\n\n```bash\nclasslens {shot.command.replace('OUT', output)}\n```\n\n"
        text += f"![{words}]({place}/{shot.name}.webp)\n"
    lines = "\n".join(f"classlens cam demo/bird.JPEG {' '.join(words[:2])}{words[2]}" for words in WITH_CHECKPOINTS)
    return text + MISSING["zh" if is_chinese else "en"] + f"\n```bash\n{lines}\n```\n"


def take(shot: Shot) -> None:
    """Run the command of a shot, and keep its picture, of a folder the first."""
    from classlens.cli.main import main as run

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / ("picture.png" if "--save-path" in shot.command else "pictures")
        words = [str(output) if word == "OUT" else word for word in shlex.split(shot.command)]
        if status := run(words):
            sys.exit(f"{shot.name}: status {status}")
        path = output if output.is_file() else min(path for path in output.rglob("*.*g") if path.is_file())
        with Image.open(path) as picture:
            picture.thumbnail((WIDEST, 4 * WIDEST), Image.Resampling.LANCZOS)
            picture.convert("RGB").save(DOCS / "pictures" / f"{shot.name}.webp", quality=82, method=6)


if __name__ == "__main__":
    sys.exit(main())
