"""PSNR and SSIM against what is known of them."""

from __future__ import annotations

import pytest
import torch

from trainables.attacks.inversion.training import Decoder, psnr, ssim
from trainables.models.obfuscation import gaussian_blur


def test_psnr() -> None:
    frames = torch.full((2, 3, 8, 8), 0.5)
    assert psnr(frames, frames + 0.1).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)
    assert psnr(frames, frames).tolist() == [100.0, 100.0]


def test_ssim_is_one_for_the_same_and_the_luminance_term_for_flat_frames() -> None:
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 16, 16)
    assert ssim(frames, frames).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert (ssim(frames, torch.rand(2, 3, 16, 16)) < 0.5).all()
    dark, bright = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    luminance = (2 * 0.2 * 0.6 + 0.01**2) / (0.2**2 + 0.6**2 + 0.01**2)
    assert ssim(dark, bright).item() == pytest.approx(luminance, abs=1e-3)


def test_a_decoder_learns_to_undo_a_blur() -> None:
    torch.manual_seed(0)
    sharp = (torch.rand(16, 3, 4, 4) > 0.5).float().repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    blurred, decoder = gaussian_blur(sharp, 5, 1.5), Decoder(8)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        (decoder(blurred) - sharp).square().mean().backward()
        optimizer.step()
    assert psnr(decoder(blurred).clamp(0, 1), sharp).mean() > psnr(blurred, sharp).mean() + 2.0
