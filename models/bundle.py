"""Read and verify a model bundle on disk: a folder whose files must match the hashes in its manifest.

`python -m models.bundle --write-manifest FOLDER` lists the files of your own bundle, or of a changed copy, with their
sha256 in its `manifest.json`; the commands and the job refuse a bundle without a manifest. A bundle has
  config.json       {"model_version": ...}, and languages, max_tokens and pad_id where they differ from the shipped ones
  tokenizer.json    as the library `tokenizers` writes it
  model.onnx        inputs input_ids, attention_mask and optionally token_type_ids: int64 [texts, tokens];
                    outputs sentiment [texts, 3] and emotions [texts, 7]: logits in the order of `models/labels.py`
  calibration.json  temperatures, tag fits, thresholds, costs; begin with a copy of the shipped and `models.calibrate`
  drift.json        optional: the reference distributions of `models.drift`

Exit status: 0; 2 wrong arguments, a file is missing or `config.json` is wrong (the reason is on standard error).
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from models.labels import SENTIMENTS, TAGS

DEFAULT = Path(__file__).parent / "sentiment"
MANIFEST = "manifest.json"
REQUIRED = ("model.onnx", "tokenizer.json", "config.json", "calibration.json")
SHIPPED_FIT = "calibration.shipped.json"
"""File to which `models.calibrate` copies the bundle's original calibration before it first replaces it."""
OPTIONAL = ("drift.json", SHIPPED_FIT)


class BundleError(RuntimeError):
    """A bundle that must not be used; the message names the file."""


class Config(msgspec.Struct, frozen=True):
    """What `config.json` holds."""

    model_version: str
    sentiments: tuple[str, ...] = SENTIMENTS
    tags: tuple[str, ...] = TAGS
    max_tokens: int = 128
    pad_id: int = 0
    base: str = ""
    languages: tuple[str, ...] = ("en",)
    """Primary subtags (BCP 47) of the languages that the model reads; messages that name another are not scored."""


class Manifest(msgspec.Struct, frozen=True):
    """What `manifest.json` holds: sha256 by file name, and how the bundle was made."""

    files: dict[str, str]
    made: dict[str, Any] = {}


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, made: Mapping[str, Any] | None = None) -> Manifest:
    """Write the manifest of a bundle; without `made`, keep the `made` of the manifest that it replaces."""
    path = folder / MANIFEST
    if made is None:
        made = msgspec.json.decode(path.read_bytes(), type=Manifest).made if path.exists() else {}
    names = sorted(file.name for file in folder.iterdir() if file.name in (*REQUIRED, *OPTIONAL))
    manifest = Manifest(files={name: sha256(folder / name) for name in names}, made=dict(made))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n")
    return manifest


def verify(folder: Path) -> Manifest:
    """Check every file of the bundle against its manifest.

    Raises:
        BundleError: the manifest cannot be read, or a file is missing, unlisted or changed; the message names the file.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{folder / MANIFEST}: cannot be read as a manifest ({error})") from error
    for name in (*REQUIRED, *manifest.files):
        if name not in manifest.files:
            raise BundleError(f"{folder / name}: not listed in {MANIFEST}")
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name}: missing")
        if sha256(folder / name) != manifest.files[name]:
            raise BundleError(f"{folder / name}: differs from its sha256 in {MANIFEST}")
    return manifest


def read_config(folder: Path) -> Config:
    """Read `config.json`.

    Raises:
        BundleError: the file is not valid, or lists other sentiments or tags than ours.
    """
    path = folder / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=Config)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    if config.sentiments != SENTIMENTS:
        raise BundleError(f"{path}: sentiments must be {SENTIMENTS}")
    if config.tags != TAGS:
        raise BundleError(f"{path}: tags must be {TAGS}, in this order")
    return config


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.bundle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write-manifest", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    folder = parser.parse_args(arguments).write_manifest
    try:
        for name in REQUIRED:
            if not (folder / name).is_file():
                raise BundleError(f"{folder / name}: missing")
        read_config(folder)
        manifest = write_manifest(folder)
    except (BundleError, OSError, msgspec.MsgspecError) as error:
        print(f"models.bundle: {error}", file=sys.stderr)
        return 2
    print(f"{folder / MANIFEST}: {', '.join(manifest.files)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
