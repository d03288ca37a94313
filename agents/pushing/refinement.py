"""Actions improved by the simulator's gradient alone, without networks: what it is worth by itself."""

import torch

from .architectures import Actions
from .execution import Execution


def refine(
    execution: Execution,
    actions: Actions,
    iterations: int = 50,
    learning_rate: float = 1e-3,
    trial: Execution | None = None,
) -> Actions:
    """Descends the object-trajectory loss of each task by its commands and contacts, and returns the best ones met.

    Args:
        execution: of B tasks, that is differentiated through.
        actions: (B, T, N, 2) to start from, as inverse dynamics gives them; not changed.
        iterations: of Adam.
        learning_rate: of Adam, the most that a coordinate moves in an iteration [m]; falls to zero.
        trial: judges what was met, `execution` by default.
    """
    which = torch.arange(len(execution.simulators))
    commands = actions.commands.detach().clone().requires_grad_()
    # How far the servos pull beyond the contacts is the force: both are free.
    contacts = actions.contacts.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([commands, contacts], learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, iterations)
    judge = execution if trial is None else trial
    best = Actions(actions.commands.detach(), actions.contacts.detach())
    least = judge.outcome(best).losses
    for _ in range(iterations):
        optimizer.zero_grad()
        execution.losses(Actions(commands, contacts), which).sum().backward()
        optimizer.step()
        schedule.step()
        now = Actions(commands.detach().clone(), contacts.detach().clone())
        losses = judge.outcome(now).losses
        better = (losses < least)[:, None, None, None]
        best = Actions(*(torch.where(better, new, old) for new, old in zip(now, best, strict=True)))
        least = torch.minimum(least, losses)
    return best
