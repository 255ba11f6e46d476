#!/usr/bin/env python3
"""Writes photos.txt: what Pillow shows of each picture in a folder, EXIF orientation applied, as RGB.

usage: make_photos.py PHOTOS_FOLDER > photos.txt
A line: name, width, height, sums of R, G, B over all pixels, then R,G,B at five places.
16-bit gray: Pillow cuts such samples off at 255 when it converts; the high byte stands here instead.
"""
import pathlib
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    if not path.is_file():
        continue
    picture = Image.open(path)
    if picture.mode.startswith("I;16"):
        rgb = np.repeat((np.asarray(picture).astype(np.uint16) >> 8)[..., None], 3, axis=2)
    else:
        rgb = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    height, width, _ = rgb.shape
    places = [(height * a // 8, width * b // 8) for a, b in ((0, 0), (0, 7), (7, 0), (3, 4), (5, 2))]
    pixels = [",".join(str(int(v)) for v in rgb[y, x]) for y, x in places]
    print(path.name, width, height, *(int(s) for s in rgb.astype(np.int64).sum((0, 1))), *pixels)
