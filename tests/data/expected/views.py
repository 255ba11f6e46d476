#!/usr/bin/env python3
"""Makes views.txt: what Pillow and torchvision make of small patterned pictures. Needs torch, torchvision, Pillow."""
import math
import os

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional as F


def pattern(width, height):
    """The same bytes as pattern() in tests/data/expected_values.h."""
    state, out = 12345, np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                state = (state * 1103515245 + 12345) % 2**32
                out[y, x, c] = (state >> 16) % 128 + (x * 5 + y * 3 + c * 40) % 128
    return out


lines = []


def keep(name, values):
    flat = np.asarray(values).reshape(-1)
    text = [str(int(v)) if flat.dtype.kind in "ui" else f"{v:.5f}" for v in flat]
    lines.append(f"{name} {len(text)} {' '.join(text)}")


def chw(image):
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)


def hwc(tensor):
    return tensor.permute(1, 2, 0).numpy()


BILINEAR = Image.Resampling.BILINEAR
pil = Image.fromarray(pattern(23, 17))
keep("shrink_10x7", np.array(pil.resize((10, 7), BILINEAR)))
keep("enlarge_12x9", np.array(Image.fromarray(pattern(5, 4)).resize((12, 9), BILINEAR)))
keep("mixed_5x20", np.array(pil.resize((5, 20), BILINEAR)))
keep("box_9x6", np.array(pil.resize((9, 6), BILINEAR, box=(3.25, 2.5, 19.75, 15))))
keep("one_pixel", np.array(pil.resize((1, 1), BILINEAR)))
keep("crop_then_8x8", np.array(F.resized_crop(pil, 4, 6, 11, 14, [8, 8])))
keep("center_31x22_12_11", np.array(F.center_crop(F.resize(Image.fromarray(pattern(31, 22)), 12), [11, 11])))
keep("center_13x30_8_5", np.array(F.center_crop(F.resize(Image.fromarray(pattern(13, 30)), 8), [5, 5])))

x = chw(pattern(8, 8))
keep("brightness_1.3", hwc(F.adjust_brightness(x, 1.3)))
keep("contrast_1.4", hwc(F.adjust_contrast(x, 1.4)))
keep("contrast_0.6", hwc(F.adjust_contrast(x, 0.6)))
keep("saturation_1.5", hwc(F.adjust_saturation(x, 1.5)))
keep("saturation_0.6", hwc(F.adjust_saturation(x, 0.6)))
keep("hue_0.3", hwc(F.adjust_hue(x, 0.3)))
keep("hue_-0.1", hwc(F.adjust_hue(x, -0.1)))
keep("grayscale", hwc(F.rgb_to_grayscale(x, 3)))
keep("flip", hwc(F.hflip(x)))
keep("rotate_0.3", hwc(F.rotate(x, math.degrees(0.3), F.InterpolationMode.BILINEAR)))  # its outside is black
y = chw(pattern(12, 9))
keep("blur_0.7", hwc(F.gaussian_blur(y[:, :, :9], [9, 9], [0.7, 0.7])))
keep("blur_1.6", hwc(F.gaussian_blur(y[:, :, :9], [15, 15], [1.6, 1.6])))

chain = chw(np.array(F.resized_crop(pil, 1, 3, 15, 18, [8, 8])))
chain = F.adjust_contrast(F.adjust_hue(F.adjust_brightness(chain, 0.8), 0.07), 1.3)
chain = F.gaussian_blur(F.rgb_to_grayscale(F.adjust_saturation(chain, 0.7), 3), [9, 9], [0.9, 0.9])
keep("chain", hwc(F.normalize(F.hflip(chain), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])))
plain = chw(np.array(F.center_crop(F.resize(Image.fromarray(pattern(31, 22)), 9), [8, 8])))
keep("plain", hwc(F.normalize(plain, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "views.txt"), "w") as out:
    out.write("# Made by views.py: name, how many values, values in row-major order, channels last.\n")
    out.write("\n".join(lines) + "\n")
