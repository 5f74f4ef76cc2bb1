"""The Conformer and its attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.layers.attention import attention_bias
from models.layers.conformer import Conformer, ConformerBlock
from models.layers.masks import padding_mask
from models.layers.relative_attention import RelativeSelfAttention
from models.layers.utterance_norm import UtteranceNorm


def test_attention_scores_distances_as_transformer_xl_does():
    torch.manual_seed(0)
    size, n_heads, length = 8, 2, 7
    attention = RelativeSelfAttention(size, n_heads).double()
    x = torch.randn(1, length, size, dtype=torch.float64)
    queries = attention.to_queries(x).view(length, n_heads, -1)
    keys, values = attention.to_keys_values(x).view(length, 2, n_heads, -1).unbind(1)
    frequencies = 10000.0 ** (-torch.arange(size // 2, dtype=torch.float64) / (size // 2))
    scores = torch.zeros(n_heads, length, length, dtype=torch.float64)
    for head in range(n_heads):
        content = queries[:, head] + attention.content_bias[head]
        position = queries[:, head] + attention.distance_bias[head]
        for i in range(length):
            for j in range(length):
                sinusoids = torch.cat([((i - j) * frequencies).sin(), ((i - j) * frequencies).cos()])
                distance = attention.distance_weight[head] @ sinusoids
                scores[head, i, j] = (content[i] @ keys[j, head] + position[i] @ distance) / size**0.5
    attended = torch.einsum("hij,jhc->ihc", scores.softmax(dim=2), values).reshape(1, length, size)
    bias = attention_bias(torch.zeros(1, length, dtype=torch.bool))
    # The table of positions is in float32.
    torch.testing.assert_close(attention(x, bias.double()), attention.to_output(attended), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("theirs", [nn.GroupNorm(1, 6), nn.InstanceNorm1d(6, affine=True)])
def test_utterance_norm_is_torchs_over_real_frames(theirs):
    torch.manual_seed(0)
    norm = UtteranceNorm(6, per_channel=isinstance(theirs, nn.InstanceNorm1d))
    x, lengths = torch.randn(3, 9, 6) * 3.0 + 1.0, torch.tensor([9, 2, 4])
    is_padding = padding_mask(lengths).unsqueeze(2)
    normed = norm(x.masked_fill(is_padding, float("inf")), is_padding)
    for row, length in enumerate(lengths.tolist()):
        expected = theirs(x[row : row + 1, :length].transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(normed[row : row + 1, :length], expected)


@pytest.mark.parametrize("condition_size", [0, 5])
def test_padding_changes_neither_outputs_nor_gradients(condition_size):
    torch.manual_seed(0)
    sizes = {"n_heads": 2, "filter_size": 12, "kernel_size": 5, "condition_size": condition_size}
    conformer = Conformer(2, lambda: ConformerBlock(8, dropout=0.0, **sizes))
    x, lengths = torch.randn(2, 11, 8, requires_grad=True), torch.tensor([11, 6])
    condition = torch.randn(2, 1, condition_size) if condition_size else None
    together = conformer(x, padding_mask(lengths), condition)
    assert not together[1, 6:].any()
    for row, length in enumerate(lengths.tolist()):
        own = x[row : row + 1, :length].detach().requires_grad_()
        of_row = None if condition is None else condition[row : row + 1]
        alone = conformer(own, padding_mask(lengths[row : row + 1]), of_row)
        torch.testing.assert_close(together[row : row + 1, :length], alone, rtol=1e-5, atol=1e-5)
        (gradient,) = torch.autograd.grad(alone.square().sum(), own)
        (padded_gradient,) = torch.autograd.grad(together[row].square().sum(), x, retain_graph=True)
        torch.testing.assert_close(padded_gradient[row : row + 1, :length], gradient, rtol=1e-4, atol=1e-4)
        assert not padded_gradient[row, length:].any()
