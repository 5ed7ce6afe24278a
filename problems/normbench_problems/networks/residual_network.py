"""What all residual networks are made of: a stem, stages of blocks, and a dense layer."""

from __future__ import annotations

from torch import Tensor, nn

from normbench import Role, Sites, role_of
from normbench_problems.networks.initial_values import INITS
from normbench_problems.networks.residual import Architecture, Block


class ResNet(nn.Module):
    """A stem, stages of residual blocks, a global mean and a dense layer."""

    def __init__(self, sites: Sites, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self._add_stem(sites)
        self.blocks = nn.Sequential()
        channels, fed_by = architecture.stem_width, self.stem
        for stage, depth in enumerate(architecture.depths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                features = architecture.width << stage
                block = Block(sites, channels, features, stride, architecture, fed_by)
                self.blocks.add_module(f"stage{stage + 1}_block{index + 1}", block)
                channels, fed_by = block.outputs, None
        self.final_norm, self.final_activation = nn.Identity(), nn.Identity()
        if architecture.activation_order == "pre" and architecture.final_norm:
            self.final_norm, self.final_activation = sites.before(channels, "conv", nn.ReLU())
        self.dense = nn.Linear(channels, architecture.classes)

    def _add_stem(self, sites: Sites) -> None:
        width, normed = self.architecture.stem_width, self.architecture.stem_norm
        large = self.architecture.stem == "large"
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = nn.Conv2d(3, width, kernel, stride, padding=kernel // 2, bias=normed)
        self.stem_norm, self.stem_activation = nn.Identity(), nn.Identity()
        if normed:
            active = self.architecture.activation_order != "before_norm"
            activation = nn.ReLU() if active else None
            self.stem_norm, self.stem_activation = sites.after(self.stem, activation)
        self.stem_pool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of (N, 3, H, W) images."""
        maps = self.stem_pool(self.stem_activation(self.stem_norm(self.stem(inputs))))
        maps = self.final_activation(self.final_norm(self.blocks(maps)))
        return self.dense(maps.mean((2, 3)))  # type: ignore[no-any-return]

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer, where they are not its own."""
        INITS[self.architecture.init](layer)
        if self.architecture.zero_last_scale and self._comes_last(layer):
            for name, parameter in layer.named_parameters(recurse=False):
                if role_of(layer, name, name) is Role.NORM_SCALE:
                    nn.init.zeros_(parameter)

    def _comes_last(self, layer: nn.Module) -> bool:
        return any(
            layer is module
            for block in self.blocks
            for part in block.last()
            for module in part.modules()
        )
