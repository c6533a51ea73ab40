"""mT5 as the text encoder (Xue et al. 2021): its frozen encoder reads 101 languages, and registers read it.

mT5's weights are no part of a checkpoint of ours. The checkpoint names them by their SHA-256, and they come
from a folder on this machine: the one given, else the one that the environment's EDGECORE_MT5 names.
`transformers` (the extra `mt5`) is imported when such an encoder is built, and asks no network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.presets import TERMS, Mt5Params
from edgecore_aiprod.text import Connector, term_ids

FOLDER = "EDGECORE_MT5"
_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read
_TOKENS = ("tokenizer.json", "spiece.model")
_HOW = f"download google/mt5-base from the Hugging Face hub into a folder and give it, or set {FOLDER} to it"


def describe(
    folder: Path, width: int = 256, depth: int = 4, heads: int = 4, registers: int = 128
) -> Mt5Params:
    """Params of a text encoder on the mT5 in `folder`, with its files' hashes. Raises CheckpointError."""
    names = [_CONFIG]
    for choice in (_WEIGHTS, _TOKENS):
        found = [name for name in choice if (folder / name).is_file()]
        if not found:
            raise CheckpointError(choice[0], f"is missing from {folder}, and so is {choice[1]}; {_HOW}")
        names.append(found[0])
    files = {name: _sha256(folder / name) for name in names}
    try:
        states = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["d_model"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(_CONFIG, f"of {folder} is not that of an mT5: {error!r}") from error
    return Mt5Params(files, states, width, depth, heads, registers)


class Mt5TextEncoder(nn.Module):
    """mT5's states, projected, and the terms' vectors are the tokens that learned registers read.

    Takes the place of the byte-level `TextEncoder`. Only what is trained here is in its state_dict.
    """

    def __init__(self, params: Mt5Params, folder: Path | None = None) -> None:
        """Raises CheckpointError if mT5 is not in `folder` as `params` names it, or cannot be read."""
        super().__init__()
        self.params = params
        self.tokenizer, frozen = _load(params, folder)
        self.frozen = [frozen]  # in a list, so that its weights are none of ours
        self.fold = nn.Linear(params.states, params.width)
        self.terms = nn.Embedding(TERMS + 1, params.width, padding_idx=TERMS)
        self.connector = Connector(params.registers, params.width, params.depth, params.heads, params.out)
        nn.init.zeros_(self.terms.weight)

    def forward(self, state_BNS: Tensor, mask_BN: Tensor, term_BM: Tensor) -> Tensor:
        """Registers (B, R, out) from mT5's states, `mask_BN` True where one is a token's, and the ids of
        terms, `TERMS` for none.
        """
        tokens_BLC = torch.cat([self.fold(state_BNS), self.terms(term_BM)], dim=1)
        register_BRE: Tensor = self.connector(tokens_BLC, torch.cat([mask_BN, term_BM != TERMS], dim=1))
        return register_BRE

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Registers (B, R, out). Raises UnicodeEncodeError on unpaired surrogates; cuts nothing off."""
        for prompt in prompts:
            prompt.encode("utf-8")
        device = self.fold.weight.device
        tokens = self.tokenizer(list(prompts), padding=True, return_tensors="pt").to(device)
        mask_BN = tokens["attention_mask"]
        with torch.no_grad():
            frozen = self.frozen[0].to(device)
            state_BNS = frozen(input_ids=tokens["input_ids"], attention_mask=mask_BN).last_hidden_state
        register_BRE: Tensor = self(state_BNS, mask_BN.bool(), term_ids(prompts).to(device))
        return register_BRE


def _load(params: Mt5Params, folder: Path | None) -> tuple[Any, Any]:
    """The tokenizer and the frozen encoder of a folder that holds what `params` names."""
    try:
        from transformers import AutoTokenizer, MT5EncoderModel
    except ImportError as error:
        raise CheckpointError("mT5", "needs transformers: pip install 'edgecore-aiprod[mt5]'") from error
    folder = _find(params, folder)
    try:
        with torch.device("cpu"):  # the rest may be built without memory
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            frozen: Any = MT5EncoderModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except Exception as error:  # transformers raises nearly anything on files that do not fit together
        raise CheckpointError("mT5", f"cannot be read from {folder}: {error}") from error
    if frozen.config.d_model != params.states:
        raise CheckpointError(
            _CONFIG, f"of {folder} says {frozen.config.d_model} states, the model needs {params.states}"
        )
    return tokenizer, frozen.eval().requires_grad_(False)


def _find(params: Mt5Params, folder: Path | None) -> Path:
    """The folder given, or the environment's, its files checked."""
    if folder is None and not os.environ.get(FOLDER):
        raise CheckpointError(
            "mT5", f"this model reads text with mT5, whose files are not part of it: {_HOW}"
        )
    folder = Path(os.environ[FOLDER]) if folder is None else folder
    for name, promised in params.files.items():
        if Path(name).name != name:
            raise CheckpointError(_CONFIG, f"{name!r} is not the name of a file of mT5")
        if not (folder / name).is_file():
            raise CheckpointError(name, f"is missing from {folder}; {_HOW}")
        if (found := _sha256(folder / name)) != promised:
            raise CheckpointError(name, f"sha256 in {folder} is {found}, the model was trained on {promised}")
    return folder


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(path.name, f"cannot be read: {error}") from error
