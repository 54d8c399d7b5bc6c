"""The damped solve of gradients that are given as matrices, through what the engine does with tokens."""

import torch

from lancet_core.influence.gradients import modular_gradient


def solved(curvature, gradients):
    """V of g, shape (…, P, M): g = Σ_t δ_t e_tᵀ, its columns as δ and unit vectors as inputs."""
    columns = gradients.reshape(-1, *gradients.shape[-2:]).transpose(1, 2)
    unit_vectors = torch.eye(columns.shape[1], dtype=gradients.dtype).expand(len(columns), -1, -1)
    rotated = modular_gradient(*curvature.rotate(unit_vectors, columns))
    return curvature.rotate_back(curvature.solve(rotated)).reshape(gradients.shape)
