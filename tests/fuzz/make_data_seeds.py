"""Makes seeds/: small sound inputs of every kind for the fuzz targets of data and configuration. Needs Pillow.

python make_data_seeds.py
"""
import io
import os
import shutil

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def write(target, name, data):
    folder = os.path.join(HERE, "seeds", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


picture = Image.new("RGB", (19, 13))
picture.putdata([((x * 13) % 256, (y * 17) % 256, (x * y) % 256) for y in range(13) for x in range(19)])
exif = Image.Exif()
exif[0x0112] = 6
for name, data in {
    "baseline.jpg": encoded(picture, "JPEG"),
    "progressive.jpg": encoded(picture, "JPEG", progressive=True),
    "turned.jpg": encoded(picture, "JPEG", exif=exif, subsampling=0),
    "gray.jpg": encoded(picture.convert("L"), "JPEG"),
    "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG"),
    "rgb.png": encoded(picture, "PNG"),
    "palette.png": encoded(picture.convert("P"), "PNG"),
    "bits.png": encoded(picture.convert("1"), "PNG"),
    "gray16.png": encoded(picture.convert("I;16"), "PNG"),
    "rgba.png": encoded(picture.convert("RGBA"), "PNG"),
    "rgb.bmp": encoded(picture, "BMP"),
    "palette.bmp": encoded(picture.convert("P"), "BMP"),
    "rgb.ppm": encoded(picture, "PPM"),
    "text.ppm": b"P3 # a comment\n2 2\n255\n1 2 3  4 5 6\n7 8 9 10 11 12\n",
    "wide.pgm": b"P5 2 2 65535 \x00\x01\x80\x00\xff\xff\x12\x34",
}.items():
    write("image", name, data)

PART = b"\x1e"
GTSRB = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
ISIC = b"image_id,melanoma,seborrheic_keratosis\n"
for name, data in {
    "list": b"\0# class 0 one\n# class 1 two words\n# box 0 0 1 1 2 2\n# group g\nimages/a.jpg 1\n" + PART + b"images/a.jpg\n",
    "cub": b"\1" + PART.join([b"1 a.jpg\n2 b.jpg\n", b"1 001.Auk\n2 002.Wren\n", b"1 1\n2 2\n", b"1 1\n2 0\n",
                              b"1 0 0 1.5 1\n2 0.0 0.0 1.0 1.0\n"]),
    "gtsrb": b"\2" + PART.join([GTSRB + b"a.ppm;1;1;0;0;1;1;3\r\n", GTSRB + b"00000.ppm;1;1;0;0;1;1;42\r\n",
                                b"Filename,official\n00000.ppm,00042/00017_00003.ppm\n"]),
    "isic": b"\3" + PART.join([ISIC + b"ISIC_0000000,0.0,1.0\n", ISIC + b'"ISIC_0000001",1.0,0.0\n']),
    "aircraft": b"\4" + PART.join([b"707-320\nCessna 172\n", b"a 707-320\n0000002 Cessna 172\n", b"a 1 1 1 1\n0000002 1 1 4 4\n"]),
    "odd": b"\0\xef\xbb\xbf# class x\rimages/a.jpg\t1\r\n\n \xe9.jpg -1",
}.items():
    write("tables", name, data)

for name in ["base.toml", "moco-pairs.toml", "simsiam.toml"]:
    shutil.copy(os.path.join(HERE, "../../configs", name), os.path.join(HERE, "seeds"))
    with open(os.path.join(HERE, "seeds", name), "rb") as f:
        write("config", name, f.read())
    os.remove(os.path.join(HERE, "seeds", name))
write("config", "set", b"decoder.widths=[8, 4]\n")
write("config", "kinds", b'seed = 3\n[optim]\nlr = 1e-3\nnesterov = true\n[schedule]\nmilestones = [60, 80.5]\n[data]\ncrop = "on"\n')

made = os.path.join(HERE, "../data/expected/stanford_cars")
for name in sorted(os.listdir(made)):
    with open(os.path.join(made, name), "rb") as f:
        write("matlab", name, f.read())
