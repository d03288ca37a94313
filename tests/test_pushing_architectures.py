"""Batches, networks and losses of the five architectures of planar pushing."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from pushing_tasks import pushed_squares
from torch import Tensor

from gradgym.agents.pushing import architectures
from gradgym.agents.pushing.architectures import STAGES, Architecture, Loss
from gradgym.agents.pushing.inverse_dynamics import InverseDynamics, Solution
from gradgym.agents.pushing.losses import command_loss, parameter_loss, solution_loss
from gradgym.agents.pushing.networks import Decoder, VideoEncoder
from gradgym.agents.pushing.parameters import Batch, MechanicalParameters


@pytest.fixture(scope="module")
def tasks() -> Batch:
    return pushed_squares(6, 0)


def test_flattened_parameters_come_back(tasks: Batch) -> None:
    for fingers in (2, 3):
        known = pushed_squares(3, 1, fingers).parameters
        flat = known.flatten()
        assert flat.shape == (3, 5, 10 + 10 * fingers)
        back = MechanicalParameters.unflatten(flat, fingers)
        for field in fields(MechanicalParameters):
            got, want = getattr(back, field.name), getattr(known, field.name).clone()
            if field.name == "r":
                want[..., 2] -= want[:, :1, 2].clone()
            torch.testing.assert_close(got, want, atol=1e-12, rtol=0.0, msg=field.name)


def test_a_task_that_is_elsewhere_differs_only_in_its_place(tasks: Batch) -> None:
    known, way = tasks.parameters, torch.tensor([0.03, 0.02], dtype=torch.float64)
    moved = replace(
        known,
        r=known.r + torch.tensor([0.03, 0.02, 0.7], dtype=torch.float64),
        facets=known.facets + way,
        p_e=known.p_e + way,
    )
    difference = moved.flatten() - known.flatten()
    torch.testing.assert_close(difference[..., :2], way.expand(6, 5, 2), atol=1e-12, rtol=0.0)
    assert float(difference[..., 2:].abs().max()) < 1e-12


def test_arms_are_those_of_the_contact_points(tasks: Batch) -> None:
    torch.testing.assert_close(tasks.parameters.arms, tasks.p - tasks.parameters.r[..., None, :2], atol=1e-12, rtol=0.0)


def test_fingers_are_put_in_order_with_all_that_is_theirs(tasks: Batch) -> None:
    known = tasks.parameters
    columns = [2, 3, 0, 1]
    exchanged = Batch(
        video=tasks.video,
        parameters=replace(
            known, jacobian=known.jacobian[..., columns], facets=known.facets.flip(2), cones=known.cones.flip(2)
        ),
        p=tasks.p.flip(2),
        lam=tasks.lam.flip(2),
    )
    assert bool((tasks.p[..., 0].mean(1).diff(dim=-1) > 0.0).all())
    again = exchanged.ordered()
    for field in fields(MechanicalParameters):
        torch.testing.assert_close(
            getattr(again.parameters, field.name), getattr(known, field.name), atol=1e-15, rtol=0.0, msg=field.name
        )
    assert torch.equal(again.p, tasks.p) and torch.equal(again.lam, tasks.lam)


def test_bad_parameters_end_in_one_line(tasks: Batch) -> None:
    arrays = {field.name: getattr(tasks.parameters, field.name).numpy() for field in fields(MechanicalParameters)}
    with pytest.raises(ValueError, match="lack 'cones'"):
        MechanicalParameters.from_numpy({name: x for name, x in arrays.items() if name != "cones"})
    with pytest.raises(ValueError, match=r"cones has shape \(6, 5, 2, 2\): must be \(6, 5, 2, 2, 2\)"):
        MechanicalParameters.from_numpy(arrays | {"cones": arrays["cones"][:, :, 0]})
    with pytest.raises(ValueError, match="p_e holds numbers that are not finite"):
        MechanicalParameters.from_numpy(arrays | {"p_e": np.full((6, 5, 2), np.nan)})
    with pytest.raises(ValueError, match=r"lam has shape \(6, 4, 2, 2\): must be \(6, 5, 2, 2\)"):
        Batch(video=tasks.video, parameters=tasks.parameters, p=tasks.p, lam=tasks.lam[:, 1:])
    with pytest.raises(ValueError, match=r"video has shape \(6, 4, 50, 50, 3\): must be \(6, 5, 'H', 'W', 3\)"):
        Batch(video=tasks.video[:, 1:], parameters=tasks.parameters, p=tasks.p, lam=tasks.lam)


def test_encoder_has_the_papers_sizes_and_looks_both_ways(tasks: Batch) -> None:
    encoder = VideoEncoder(0.2).eval()
    channels = [layer.out_channels for layer in encoder.frames if isinstance(layer, torch.nn.Conv2d)]
    assert channels == [6, 12, 24]
    assert (encoder.lstm.num_layers, encoder.lstm.bidirectional, encoder.lstm.input_size) == (5, True, 75)
    latent = encoder(tasks.video)
    assert latent.shape == (6, 5, 75)
    torch.testing.assert_close(encoder(tasks.video.float() / 255.0), latent)
    for knot in (0, 4):
        other = tasks.video.clone()
        other[:, knot] = 255
        assert float((encoder(other) - latent)[:, 4 - knot].abs().max()) > 0.0
    with pytest.raises(ValueError, match=r"video has shape \(6, 5, 40, 50, 3\): must be \(B, T, 50, 50, 3\)"):
        encoder(tasks.video[:, :, :40])
    shown: list[Tensor] = []
    encoder.frames.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    for shade in (255, 0):
        encoder(torch.full_like(tasks.video, shade))
    assert float(shown[0].abs().max()) == 0.0 and bool((shown[1] == 1.0).all())  # white is nothing
    decoder = Decoder(7, 0.2)
    linear = [layer for layer in decoder.modules() if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [75, 75, 75, 7]
    assert sum(isinstance(layer, torch.nn.Dropout) for layer in decoder.modules()) == 3


def test_stages_are_the_papers() -> None:
    assert STAGES == {
        "nn": ("command",),
        "nnm": ("command", "simulation"),
        "mdr": ("parameter",),
        "cvx": ("parameter", "solution"),
        "dlm": ("parameter", "solution", "simulation"),
    }


def test_losses_are_their_formulas(tasks: Batch) -> None:
    known = tasks.parameters
    other = replace(known, p_e=known.p_e + 0.3)
    scale = torch.full((30,), 0.1, dtype=torch.float64)
    assert float(parameter_loss(other, known, scale)) == pytest.approx(9.0 * 2 / 30)
    shift = torch.zeros_like(tasks.p)
    shift[..., 0, 1] = 0.02
    assert float(command_loss(tasks.p + shift, tasks.p)) == pytest.approx(4.0)
    slack = torch.zeros(6, 5, 3, dtype=torch.float64)
    slack[..., 2] = -5.0
    found = Solution(p=tasks.p + shift, lam=tasks.lam + 300.0 * shift, lam_e=slack[..., :2], slack=slack)
    # A force of 6 N moves a servo of 300 N/m by 2 cm.
    assert float(solution_loss(found, tasks, 0.1, 300.0)) == pytest.approx(0.5 + 4.0 + 4.0)


def knows(architecture: Architecture, tasks: Batch) -> None:
    """Makes its networks give what is known."""
    if architecture.derenders:
        flat = tasks.parameters.flatten()
    else:
        flat = (tasks.p + tasks.lam / architecture.stiffness).flatten(2)

    class Known(Decoder):
        def forward(self, latent: Tensor) -> Tensor:
            return flat

    architecture.decoder = Known(flat.shape[-1], 0.0)


@pytest.mark.parametrize("arch", STAGES)
def test_who_knows_everything_has_no_loss_and_acts_as_the_oracle(arch: str, tasks: Batch) -> None:
    architecture = Architecture(arch, stiffness=400.0).eval()
    knows(architecture, tasks)
    architecture.fit_scales(tasks)
    actions = architecture.act(tasks.video)
    commands = tasks.p + tasks.lam / 400.0
    torch.testing.assert_close(actions.commands, commands, atol=1e-4, rtol=0.0)
    touched = tasks.p if architecture.derenders else commands
    torch.testing.assert_close(actions.contacts, touched, atol=5e-5, rtol=0.0)
    for loss in architecture.stages:
        if loss != "simulation":
            assert float(architecture.label_loss(loss, tasks)) < 1e-3, loss


@pytest.mark.parametrize(("arch", "loss"), [("nn", "command"), ("mdr", "parameter"), ("cvx", "solution")])
def test_gradients_of_losses_are_differences(
    arch: str, loss: Loss, tasks: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the guard of long adjoints, which is the last of the backward pass before the networks."""
    guarded: list[tuple[int, ...]] = []

    def whole(adjoint: Tensor) -> Tensor:
        guarded.append(tuple(adjoint.shape))
        return adjoint

    monkeypatch.setattr(architectures, "cut", whole)
    architecture = Architecture(arch, seed=1).double().eval()
    architecture.fit_scales(tasks)
    generator = torch.Generator().manual_seed(0)
    named = dict(architecture.named_parameters())
    weights = [named["encoder.frames.0.weight"], named["decoder.layers.4.weight"]]
    ways = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]
    value = architecture.label_loss(loss, tasks)
    value.backward()
    for weight, way in zip(weights, ways, strict=True):
        gradient = weight.grad
        assert gradient is not None
        step, sides = 1e-6, list[Tensor]()
        for sign in (1.0, -2.0, 1.0):
            with torch.no_grad():
                weight += sign * step * way
                sides.append(architecture.label_loss(loss, tasks))
        difference = float(sides[0] - sides[1]) / (2.0 * step)
        assert difference != 0.0
        assert float((gradient * way).sum()) == pytest.approx(difference, rel=1e-4, abs=1e-7)
    assert guarded == ([(*tasks.p.shape[:2], 30)] if loss == "solution" else [])


def test_scales_are_the_spread_of_kinds_and_their_own_means(tasks: Batch) -> None:
    architecture = Architecture("cvx")
    architecture.fit_scales(tasks)
    flat = tasks.parameters.flatten().flatten(0, 1)
    torch.testing.assert_close(architecture.decoder.offset.double(), flat.mean(0), atol=1e-6, rtol=0.0)
    scale = architecture.decoder.scale.double()
    place, turned, inertia = flat[:, :2].var(0, correction=0).mean().sqrt(), flat[:, 2].std(correction=0), 1e-3
    expected = torch.tensor([place, place, turned], dtype=torch.float64)
    torch.testing.assert_close(scale[:3], expected, atol=1e-6, rtol=0.0)
    assert float(scale[-1]) == pytest.approx(inertia)


def test_running_statistics_serve_after_a_hundred_steps(tasks: Batch) -> None:
    """Batch normalisation in evaluation mode, of no more tasks than the paper's and at its rate, has followed."""
    architecture = Architecture("mdr", seed=2)
    architecture.fit_scales(tasks)
    optimizer = torch.optim.Adam(architecture.parameters(), lr=1e-4)
    losses: list[float] = []
    for _ in range(100):
        loss = architecture.label_loss("parameter", tasks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    architecture.eval()
    evaluated = float(architecture.label_loss("parameter", tasks).detach())
    assert evaluated < 1.2 * losses[-1] < losses[0]


def test_first_weights_follow_from_the_seed() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (Architecture("nn", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    key = "encoder.latent.weight"
    assert torch.equal(first[key], second[key]) and not torch.equal(first[key], other[key])


def test_bad_arguments_end_in_one_line(tasks: Batch) -> None:
    with pytest.raises(ValueError, match="arch='cnn': must be one of nn, nnm, mdr, cvx, dlm"):
        Architecture("cnn")
    with pytest.raises(ValueError, match=r"dropout=1\.0: at least 0 and below 1"):
        Architecture("nn", dropout=1.0)
    with pytest.raises(ValueError, match="mdr is trained by parameter: there are no labels for 'solution'"):
        Architecture("mdr", dynamics=InverseDynamics(gravity=0.0)).label_loss("solution", tasks)
