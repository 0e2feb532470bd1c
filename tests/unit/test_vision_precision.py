"""Precision: the choice is a function of timings, and int8 decides as fp32 does outside a stated margin."""

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.synthetic.faces import enrolment_views
from pipeline.synthetic.identities import identity
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision import eyes, precision
from pipeline.vision.activations import activation_ceilings
from pipeline.vision.detector import TorchDetector
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.eyes import load_eyes
from pipeline.vision.fixed_batches import FixedBatches
from pipeline.vision.int8 import Int8Convolution, int8_available
from pipeline.vision.networks import EmbedderNetwork, fuse
from pipeline.vision.precision import fastest, probe
from pipeline.vision.weights import load_manifest, load_weights

MARGIN = 0.05
"""Cosine around the threshold within which int8 may decide otherwise than fp32; docs/eyes.md states it."""

needs_vnni = pytest.mark.skipif(not int8_available(), reason="this processor has no int8 dot products")


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"fp32": [1.0, 1.0, 9.0], "bf16": [0.5, 0.5, 0.5], "int8": [0.2, 0.2, 0.2]}, "int8"),
        ({"fp32": [1.0], "bf16": [2.0], "int8": [1.5]}, "fp32"),
        ({"fp32": [1.0], "bf16": [0.9], "int8": [0.9]}, "fp32"),
        ({"fp32": [1.0], "bf16": [0.5], "int8": [0.45]}, "bf16"),
        ({"fp32": [1.0], "bf16": [2.0], "int8": [0.8]}, "int8"),
        ({"fp32": [1.0], "bf16": [0.5]}, "bf16"),
        ({"bf16": [], "fp32": [1.0]}, "fp32"),
        ({"int8": [0.1], "bf16": [0.2], "fp32": [1.0]}, "int8"),
    ],
)
def test_a_less_exact_precision_has_to_be_worth_it(seconds: dict, chosen: str) -> None:
    """Medians decide, whatever the order; at most 0.85 of the time of what is more exact."""
    assert fastest(seconds) == chosen


def test_nothing_timed_is_no_choice() -> None:
    """There is no default to fall back on."""
    with pytest.raises(ValueError, match="no precision"):
        fastest({"fp32": []})


def test_the_probe_takes_turns_and_is_short(caplog: pytest.LogCaptureFixture) -> None:
    """Slow candidates get fewer passes; what was measured is logged."""
    now, calls = 0.0, []

    def work(cost: float) -> None:
        nonlocal now
        now += cost
        calls.append(cost)

    with caplog.at_level("INFO", logger=precision.__name__):
        assert probe("embedder", {"fp32": 0.3, "bf16": 0.1}, work, lambda: now) == "bf16"
    assert calls == [0.3, 0.1, 0.3, 0.1, 0.1, 0.1]
    assert caplog.messages == ["the embedder runs in bf16; a pass of the probe took fp32 300.0 ms, bf16 100.0 ms"]


def test_auto_gives_eyes_that_see(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the probe finds on this machine, for each network."""
    with caplog.at_level("INFO", logger=precision.__name__):
        loaded = load_eyes(precision="auto")
    assert [message.split(" runs in ")[0] for message in caplog.messages] == ["the detector", "the embedder"]
    assert loaded.embedder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 128)


@pytest.mark.parametrize(("bf16_seconds", "chosen"), [(0.2, "fp32"), (0.1, "bf16")])
def test_a_gpu_is_probed_by_the_time_until_it_has_answered(
    bf16_seconds: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one bf16 is no faster for a small network; int8 cannot be had there."""
    now, seconds = 0.0, {"fp32": 0.2, "bf16": bf16_seconds}

    def made(wanted: str) -> str:
        if wanted not in seconds:
            raise ModelError(f"no {wanted} here")
        return wanted

    def work(candidate: str) -> None:
        nonlocal now
        now += seconds[candidate]

    monkeypatch.setattr(precision.time, "perf_counter", lambda: now)
    monkeypatch.setattr(precision.time, "process_time", lambda: 0.0)
    assert eyes._chosen("embedder", made, work, "cuda", "auto") == chosen


@needs_vnni
@torch.inference_mode()
def test_an_int8_convolution_is_near_the_float_one() -> None:
    """Padding, strides, patches, a zero point and the sum beside it, within a few steps."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (2, 8, 8, 16), generator=generator, dtype=torch.uint8)
    for size, stride in ((3, 1), (3, 2), (1, 1), (2, 2), (4, 4)):
        layer = torch.nn.Conv2d(16, 8, size, stride, 0 if size == stride else size // 2)
        value = (x.permute(0, 3, 1, 2).float() - (128 if size == stride else 0)) * 0.01
        wanted = torch.relu(layer(value)).permute(0, 2, 3, 1)
        step = float(wanted.max()) / 255
        zero = 128 if size == stride else 0
        made = Int8Convolution(layer, 0.01, step, zero=zero)(x)
        assert (made.dtype, made.shape) == (torch.uint8, wanted.shape)
        assert (made.float() * step - wanted).abs().max() < 0.03 * wanted.max()
    layer = torch.nn.Conv2d(16, 16, 3, 1, 1)
    wanted = torch.relu(layer(value * 0 + x.permute(0, 3, 1, 2).float() * 0.01) + x.permute(0, 3, 1, 2) * 0.02)
    step = float(wanted.max()) / 255
    summed = Int8Convolution(layer, 0.01, step).plus(x, x.clone(), 0.02)
    assert (summed.permute(0, 3, 1, 2).float() * step - wanted).abs().max() < 0.03 * wanted.max()


@needs_vnni
def test_int8_decides_as_fp32_outside_the_margin() -> None:
    """60,000 searches: 300 probes against 200 entries at the shipped threshold."""
    weights, threshold = load_weights("embedder"), load_manifest().operating_point.threshold
    exact = TorchEmbedder(weights.tensors, weights.version)
    fast = TorchEmbedder(weights.tensors, weights.version, precision="int8", ceilings=weights.ceilings)
    pictures = np.stack([enrolment_views(identity(seed), 2) for seed in group(Population.VALIDATION, 31, 200)])
    probes = np.concatenate([pictures[:, 1], pictures[:100, 0][..., ::-1, :]])
    gallery = exact.embed(pictures[:, 0])
    scores, quick = exact.embed(probes) @ gallery.T, fast.embed(probes) @ gallery.T
    assert scores.size == 60_000
    changed = (scores >= threshold) != (quick >= threshold)
    assert np.abs(scores[changed] - threshold).max(initial=0.0) < MARGIN
    assert np.abs(scores - quick).std() < MARGIN / 5
    assert (scores >= threshold).sum() >= 150


@needs_vnni
def test_int8_finds_the_faces_that_fp32_finds() -> None:
    """Nearly all, and their landmarks within a tenth of the face."""
    weights = load_weights("detector")
    street = Street(StreetSpec(seed=77, camera="test/1", fps=1.0, density=40.0))
    pictures = [street.render(index) for index in range(4, street.frames_per_loop, 6)]
    exact = TorchDetector(weights.tensors).detect(pictures)
    fast = TorchDetector(weights.tensors, precision="int8", ceilings=weights.ceilings).detect(pictures)
    wanted = found = 0
    for right, quick in zip(exact, fast, strict=True):
        for box, points, score in zip(right.boxes, right.landmarks, right.scores, strict=True):
            if score < 0.7:  # near the least score either may drop a face
                continue
            wanted += 1
            errors = np.abs(quick.landmarks - points).mean((1, 2)) / (box[3] - box[1])
            found += bool(len(errors)) and float(errors.min()) < 0.1
    assert wanted >= 8
    assert found >= 0.95 * wanted


def test_int8_that_cannot_be_had_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """No instructions, no ceilings, one ceiling missing, another backbone: each says what to do."""
    weights = load_weights("embedder")

    def make(**options: object) -> TorchEmbedder:
        return TorchEmbedder(weights.tensors, "x", precision="int8", **options)  # type: ignore[arg-type]  # options of several types

    monkeypatch.setattr(precision, "int8_available", lambda: True)
    with pytest.raises(ModelError, match=r"ceilings.*lamppost train.*vision\.precision"):
        make()
    with pytest.raises(ModelError, match=r"for the CPU, and the device is cuda"):
        make(device="cuda", ceilings=weights.ceilings)
    with pytest.raises(ModelError, match=r"lacks the ceiling of body\.2\.0"):
        make(ceilings={name: value for name, value in weights.ceilings.items() if name != "body.2.0"})
    monkeypatch.setattr(precision, "int8_available", lambda: False)
    with pytest.raises(ModelError, match="VNNI"):
        make(ceilings=weights.ceilings)


def test_every_convolution_but_the_first_has_a_ceiling() -> None:
    """By its name, above zero, and at most what was seen."""
    network = fuse(EmbedderNetwork().eval())
    crops = np.random.default_rng(0).integers(0, 255, (4, 112, 112, 3), dtype=np.uint8)
    ceilings = activation_ceilings(network, [crops, crops])
    assert ceilings.keys() == load_weights("embedder").ceilings.keys()
    assert min(ceilings.values()) > 0


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 19])
def test_fixed_batches_change_nothing_but_the_passes(count: int) -> None:
    """Any number of pictures goes through passes of the sizes given, padded."""
    sizes = []

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Remember the batch."""
            sizes.append(len(x))
            return x.sum((1, 2, 3))

    batch = torch.arange(count * 12.0).reshape(count, 3, 2, 2)
    out = FixedBatches(Counting(), (8, 2))(batch)
    assert torch.equal(out, batch.sum((1, 2, 3)))
    assert set(sizes) <= {2, 8}


@pytest.mark.parametrize("sizes", [(), (0, 8)])
def test_batch_sizes_have_to_be_positive(sizes: tuple[int, ...]) -> None:
    """None at all is no size either."""
    with pytest.raises(ValueError, match="positive"):
        FixedBatches(torch.nn.Identity(), sizes)
