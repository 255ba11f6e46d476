"""Makes stanford_cars/: the devkit's tables for six made pictures, in the official struct layout, by scipy.

python make_cars.py
"""
import os

import numpy as np
from scipy.io import savemat

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stanford_cars")


def annotations(rows, labelled=True):
    names = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"] + (["class"] if labelled else []) + ["fname"]
    table = np.zeros((1, len(rows)), dtype=[(name, object) for name in names])
    for i, (box, label, name) in enumerate(rows):
        for key, value in zip(names, box):
            table[key][0, i] = np.array([[value]], dtype=np.uint16 if value > 255 else np.uint8)
        if labelled:
            table["class"][0, i] = np.array([[label]], dtype=np.uint8)
        table["fname"][0, i] = name
    return {"annotations": table}


TRAIN = [((2, 1, 4, 3), 2, "00001.jpg"), ((1, 1, 4, 4), 1, "00002.jpg"), ((1, 1, 4, 4), 3, "00003.jpg")]
TEST = [((1, 1, 4, 4), 3, "00001.jpg"), ((1, 1, 4, 4), 1, "00002.jpg")]

os.makedirs(HERE, exist_ok=True)
cells = np.empty((1, 3), dtype=object)
cells[0, :] = ["AM General Hummer SUV 2000", "Citroën C3", "smart fortwo"]
for name, content, packed in [
    ("cars_meta.mat", {"class_names": cells}, True),
    ("cars_train_annos.mat", annotations(TRAIN), True),
    ("cars_test_annos_withlabels.mat", annotations(TEST), False),
    ("cars_test_annos.mat", annotations(TEST, labelled=False), True),
    ("class-4-of-3.mat", annotations([((1, 1, 4, 4), 4, "00001.jpg")]), True),
    ("number-for-name.mat", annotations([((1, 1, 4, 4), 1, 7)]), True),
    ("box-backwards.mat", annotations([((4, 1, 2, 4), 1, "00001.jpg")]), True),
    ("no-annotations.mat", {"other": np.arange(3)}, False),
]:
    savemat(os.path.join(HERE, name), content, do_compression=packed)
