"""Full training steps of a UNet2DModel in torch eager: forward process, network, loss, backward pass, clip, AdamW, average.

Reads one JSON object from standard input, {"channels": [32, 64], "attention": [1], "image": [1, 28, 28], "classes": 11,
"batch": 64, "steps": 10}, and prints {"parameters": n, "imagesPerSecond": r}: r of the fastest step.
"""

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

GROUPS = 8
HEAD = 32


class ResnetBlock(nn.Module):
    def __init__(self, channels, out, embedding):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, channels), nn.Conv2d(channels, out, 3, padding=1)
        self.time = nn.Linear(embedding, out)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(embedding))[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = self.norm(x).reshape(n, c, h * w).transpose(1, 2)
        q, k, v = (layer(tokens).reshape(n, h * w, -1, HEAD).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(HEAD), -1)
        seen = (weights @ v).transpose(1, 2).reshape(n, h * w, c)
        return x + self.out(seen).transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """The levels of diffusers' UNet2DModel with one block a level, two on the way up."""

    def __init__(self, channels, attention, image, classes):
        super().__init__()
        base, embedding = channels[0], 4 * channels[0]
        self.base = base
        self.time = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.classes = nn.Embedding(classes, embedding)
        self.first = nn.Conv2d(image[0], base, 3, padding=1)
        attend = lambda level: Attention(channels[level]) if level in attention else nn.Identity()
        last = len(channels) - 1

        self.down, skips, width = nn.ModuleList(), [base], base
        for level, out in enumerate(channels):
            shrink = nn.Conv2d(out, out, 3, stride=2, padding=1) if level < last else nn.Identity()
            self.down.append(nn.ModuleList([ResnetBlock(width, out, embedding), attend(level), shrink]))
            skips += [out] * (2 if level < last else 1)
            width = out

        middle = [ResnetBlock(width, width, embedding), Attention(width), ResnetBlock(width, width, embedding)]
        self.middle = nn.ModuleList(middle)

        self.up = nn.ModuleList()
        for level in reversed(range(len(channels))):
            out, layers = channels[level], []
            for _ in range(2):
                layers += [ResnetBlock(width + skips.pop(), out, embedding), attend(level)]
                width = out
            layers.append(nn.Conv2d(out, out, 3, padding=1) if level > 0 else nn.Identity())
            self.up.append(nn.ModuleList(layers))
        self.norm, self.last = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, image[0], 3, padding=1)

    def forward(self, x, timestep, label):
        half = self.base // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = timestep[:, None] * frequencies[None]
        embedding = self.time(torch.cat([angles.cos(), angles.sin()], 1)) + self.classes(label)
        x = self.first(x)
        skips = [x]
        for level, (block, attention, shrink) in enumerate(self.down):
            x = attention(block(x, embedding))
            skips.append(x)
            if level < len(self.down) - 1:
                x = shrink(x)
                skips.append(x)
        x = self.middle[2](self.middle[1](self.middle[0](x, embedding)), embedding)
        for level, (block1, attention1, block2, attention2, conv) in enumerate(self.up):
            x = attention1(block1(torch.cat([x, skips.pop()], 1), embedding))
            x = attention2(block2(torch.cat([x, skips.pop()], 1), embedding))
            if level < len(self.up) - 1:
                x = conv(F.interpolate(x, size=skips[-1].shape[2:], mode="nearest"))
        return self.last(F.silu(self.norm(x)))


def main():
    told = json.load(sys.stdin)
    batch, image, classes = told["batch"], told["image"], told["classes"]
    torch.set_num_threads(told["threads"])
    torch.manual_seed(0)
    network = UNet(told["channels"], told["attention"], image, classes)
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0)
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)

    def step():
        start = torch.rand(batch, *image) * 2 - 1
        noise, timestep = torch.randn_like(start), torch.randint(0, 1000, (batch,))
        alpha = alphas[timestep][:, None, None, None]
        noisy = alpha.sqrt() * start + (1 - alpha).sqrt() * noise
        label = torch.randint(0, classes, (batch,))
        loss = F.mse_loss(network(noisy, timestep.float(), label), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(average, 0.999)
            torch._foreach_add_(average, parameters, alpha=0.001)

    times = []
    for _ in range(told["steps"]):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    rate = batch / min(times)
    print(json.dumps({"parameters": sum(p.numel() for p in parameters), "imagesPerSecond": rate}))


main()
