"""A training for tests of Ray Train, in a module that its workers can import."""

from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from pipeline.training.by_ray import Rank
from pipeline.training.loader import GatewayLoader


def lengths(rank: Rank) -> dict[str, Any]:
    """Two epochs of a linear model on the lengths of samples; notes down which samples it saw."""
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    dataset = rank.dataset(lambda sample: (sample.name, float(len(sample.content))), seed=3, even=True)
    loader = GatewayLoader(dataset, batch_size=2, collate=list)
    notes = Path(rank.parameters["notes"]) / f"rank-{rank.rank}-of-{rank.world}"
    for epoch in range(2):
        loader.set_epoch(epoch)
        for batch in loader:
            with notes.open("a") as file:
                file.writelines(f"{epoch} {name}\n" for name, _ in batch)
            sizes = torch.tensor([[size] for _, size in batch])
            loss = ((model(sizes) - sizes) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {"weight": model.module.weight.detach(), "epochs": 2}


def refused(rank: Rank) -> None:
    """Asks for a release on which there is no grant."""
    rank.client.confirm("rel-nobody-has")
