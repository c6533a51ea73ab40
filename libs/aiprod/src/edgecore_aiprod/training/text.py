"""The text encoder's lesson: name colour, shape and motion from captions of all languages.

Learned queries read the tokens by attention, the way the backbone will, and linear heads name what they read;
the heads are thrown away afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.captions import english_caption, lexicons, named_caption
from edgecore_aiprod.presets import PRESETS, TextParams
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.training.config import TrainConfig
from edgecore_aiprod.training.loop import Dice
from edgecore_aiprod.world import COLOURS, MOTIONS, SHAPES, sample_scene

TOPICS: dict[str, tuple[str, ...]] = {"colour": tuple(COLOURS), "shape": SHAPES, "motion": tuple(MOTIONS)}


class Reader(nn.Module):
    """The encoder and, for training only, one query and head per topic."""

    def __init__(self, params: TextParams) -> None:
        super().__init__()
        self.encoder = TextEncoder(params)
        self.query = nn.Parameter(torch.randn(len(TOPICS), params.out))
        self.heads = nn.ModuleList(nn.Linear(params.out, len(names)) for names in TOPICS.values())

    def forward(self, prompts: list[str]) -> list[Tensor]:
        """Logits (B, names) by topic."""
        tokens_BLE, mask_BL = self.encoder.encode(prompts)
        score_BQL = torch.einsum("qe,ble->bql", self.query, tokens_BLE) / self.query.shape[-1] ** 0.5
        weight = score_BQL.float().masked_fill(~mask_BL[:, None], -torch.inf).softmax(dim=-1)
        read_BQE = weight @ tokens_BLE
        return [head(read_BQE[:, topic]) for topic, head in enumerate(self.heads)]


class TextLesson:
    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model: Reader = Reader(PRESETS[config.preset].text)

    def loss(self, dice: Dice, step: int) -> tuple[Tensor, dict[str, float]]:
        locales = list(lexicons())
        prompts: list[str] = []
        answers: list[list[int]] = []
        for _ in range(self.config.batch):
            scene = sample_scene(dice.numpy)
            if dice.numpy.random() < self.config.languages:
                locale = locales[int(dice.numpy.integers(len(locales)))]
                prompts.append(named_caption(locale, scene.colour, scene.shape, scene.motion))
            else:
                prompts.append(english_caption(scene, dice.numpy))
            answers.append([names.index(getattr(scene, topic)) for topic, names in TOPICS.items()])
        truth_BQ = torch.tensor(answers)
        logits = self.model(prompts)
        losses = [F.cross_entropy(said.float(), truth_BQ[:, topic]) for topic, said in enumerate(logits)]
        right = torch.stack([said.argmax(-1) == truth_BQ[:, topic] for topic, said in enumerate(logits)])
        figures = {topic: float(right[index].float().mean()) for index, topic in enumerate(TOPICS)}
        return torch.stack(losses).sum(), figures
