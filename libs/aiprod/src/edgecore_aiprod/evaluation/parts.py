"""The parts of a report: each asks one question of a checkpoint and returns figures and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edgecore_aiprod.captions import lexicons
from edgecore_aiprod.evaluation import attributes, autoencoder, following, frechet, languages, speed
from edgecore_aiprod.evaluation.pictures import Picture, beside, data_uri
from edgecore_aiprod.evaluation.subject import Found, Subject
from edgecore_aiprod.evaluation.trials import (
    Trial,
    batched_trials,
    generate_trials,
    prompts,
    reconstruct,
    rendered_trials,
)
from edgecore_aiprod.twin import attention_twin
from edgecore_aiprod.world import render

_OTHER_SEED = 500_000  # added to the seed for scenes that no part has asked for
_SHOWN = 12  # pictures a part


def detector(subject: Subject) -> Found:
    """The judge on rendered truth, at the two sizes."""
    count, seed = subject.settings.prompts, subject.settings.seed
    figures: dict[str, Any] = {}
    for side in (64, 128):
        stream = rendered_trials(list(prompts(count, seed)), side)
        trials = list(subject.track(stream, f"rendered {side}×{side}", count))
        figures[str(side)] = attributes.measure(trials)
    return Found(figures, [])


def english(subject: Subject) -> Found:
    """Free English in batches that equal the public pipeline's clips; a few by itself, for the time."""
    alone = generate_trials(subject.pipeline, 3, subject.settings.seed, subject.template)
    seconds = attributes.summary(list(subject.track(alone, "clips one by one", 3)))["seconds"]
    figures = attributes.measure(subject.english) | {"seconds": seconds}
    wrong = [trial for trial in subject.english if not all(trial.right)]
    right = [trial for trial in subject.english if all(trial.right)]
    shown = [*wrong[: _SHOWN // 2], *right[:_SHOWN]][:_SHOWN]
    return Found(figures, [_picture(trial, trial.prompt) for trial in shown])


def by_language(subject: Subject) -> Found:
    """CLDR captions in every locale."""
    settings = subject.settings
    asked = languages.captions_by_locale(
        settings.per_locale, settings.seed, settings.locales or sorted(lexicons())
    )
    pairs = [(prompt, scene) for _, prompt, scene in asked]
    made = batched_trials(subject.pipeline, pairs, settings.seed, subject.template)
    stream = subject.track(made, "clips in all languages", len(asked))
    trials = [(locale, trial) for (locale, _, _), trial in zip(asked, stream, strict=True)]
    figures = languages.measure(trials)
    figures["confusion"] = {
        name: attributes.confusion([trial for _, trial in trials], name) for name in attributes.ATTRIBUTES
    }
    shares = {locale: row["all"] for locale, row in figures["locales"].items()}
    lowest = sorted(shares, key=shares.__getitem__)[:_SHOWN]
    firsts = dict(reversed(trials))
    return Found(
        figures,
        [_picture(firsts[locale], f"{locale}: {firsts[locale].prompt}") for locale in lowest],
    )


def rebuilt(subject: Subject) -> Found:
    """The autoencoder alone, on clips it has not seen, at the two sizes."""
    count, seed = subject.settings.rebuilt, subject.settings.seed
    figures: dict[str, Any] = {}
    pictures: list[Picture] = []
    for side in (64, 128):
        stream = autoencoder.rebuild(subject.pipeline, count, seed, side)
        clips = list(subject.track(stream, f"rebuilt {side}×{side}", count))
        figures[str(side)] = autoencoder.measure(subject.pipeline, clips)
        for clip in clips[:3]:
            title = f"{side}×{side}: {clip.scene.colour} {clip.scene.shape}"
            row = beside([clip.truth, clip.video, clip.shrunk])
            pictures.append(Picture(title, "truth, rebuilt, shrunk and enlarged", data_uri(row)))
    return Found(figures, pictures)


def distribution(subject: Subject) -> Found:
    """The Fréchet distance of generated clips from rendered ones."""
    settings, encoder = subject.settings, subject.pipeline.model.vae.encoder
    real = [render(trial.scene) for trial in subject.english]
    others = [render(scene) for _, scene in prompts(len(real), settings.seed + _OTHER_SEED)]
    stream = (reconstruct(subject.pipeline, video) for video in others)
    through = list(subject.track(stream, "rebuilt for comparison", len(others)))
    made = [trial.video for trial in subject.english]
    return Found(frechet.measure(encoder, others, real, through, made), [])


def flow_following(subject: Subject) -> Found:
    """Asked motion against the motion measured in the result, at each strength."""
    settings = subject.settings
    clips: list[following.Steered] = []
    pictures: list[Picture] = []
    for strength in following.STRENGTHS:
        stream = following.steer(
            subject.pipeline, settings.followed, settings.seed, subject.template, strength
        )
        made = list(subject.track(stream, f"strength {strength:g}", settings.followed))
        clips += made
    for index in range(min(_SHOWN // 2, settings.followed)):
        same = clips[index :: settings.followed]
        right, down = same[0].asked
        cosines = ", ".join(f"{clip.cosine:.2f}" for clip in same)
        note = (
            f"asked {right:+.1f} right, {down:+.1f} down a frame; at strengths 0, ½ and 1: cosines {cosines}"
        )
        pictures.append(Picture(same[0].prompt, note, data_uri(beside([clip.video for clip in same]))))
    return Found(following.measure(clips), pictures)


def against_the_twin(subject: Subject) -> Found:
    """Seconds and memory of one pass of the backbone and of an attention-only one of equal parameters."""
    params, repeats = subject.pipeline.model.params, subject.settings.repeats
    latent, context, registers = params.vae.latent, params.text.out, params.text.registers
    sizes = [speed.Size(17, side, side) for side in (64, 128)]
    passes = [
        speed.compare(params, size, repeats) for size in subject.track(sizes, "passes timed", len(sizes))
    ]
    memory = {
        name: speed.peak_memory(backbone, sizes[-1], latent, context, registers)
        for name, backbone in {
            "hybrid": params.backbone,
            "twin": attention_twin(params.backbone, latent, context),
        }.items()
    }
    return Found({"passes": passes, "memory": memory, "memory_size": list(sizes[-1])}, [])


#: By the name that `--parts` takes, in the report's order.
PARTS: Mapping[str, Callable[[Subject], Found]] = MappingProxyType(
    {
        "detector": detector,
        "english": english,
        "languages": by_language,
        "autoencoder": rebuilt,
        "frechet": distribution,
        "following": flow_following,
        "speed": against_the_twin,
    }
)


def _picture(trial: Trial, title: str) -> Picture:
    asked, seen = trial.scene, trial.reading
    sight = " ".join(value or "?" for value in (seen.colour, seen.shape, seen.motion))
    verdict = "right" if all(trial.right) else "wrong"
    note = f"{verdict}: asked {asked.colour} {asked.shape} {asked.motion}, seen {sight}"
    return Picture(title, note, data_uri(trial.video))
