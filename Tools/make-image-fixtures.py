#!/usr/bin/env python3
"""Makes Tests/Fixtures/images: small picture files in many forms, and what PIL and transformers make of them.

    python3 -m venv .venv && .venv/bin/pip install torch 'transformers==5.24.*' 'pillow==13.*'
    .venv/bin/python Tools/make-image-fixtures.py

`files.json` lists the files with their sizes and the bytes that `convert_to_rgb` of transformers gives for the upright
picture (`rgb`, base64). `resized.json` has pictures that PIL resized with all of its filters. `processors.json`
has configurations of image processors, and the pixel values that transformers computes with PIL: a hash of all of them
(FNV-1a of 64 bits over little-endian float32) and the first few. `placeholders.json` has prompts before and after
`LlavaProcessor` and `Gemma3Processor`.

All pictures are patterns that are computed here. What is expected comes from Pillow and transformers alone; the JPEG and
WebP decoders in Pillow's wheel are libjpeg-turbo and libwebp, as in the tests, but of other versions.
"""
import base64
import io
import json
import pathlib
import random
import struct
import tempfile
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoImageProcessor, CLIPImageProcessorPil, Gemma3ImageProcessorPil, Gemma3Processor, LlavaProcessor,
    PreTrainedTokenizerFast)
from transformers.image_transforms import convert_to_rgb

OUT = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/images"


def pattern(width, height, channels, seed):
    """Waves, edges and noise, so that filters and colour conversions all have something to do."""
    random_ = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    layers = []
    for channel in range(channels):
        wave = 127 + 120 * np.sin(x / (3 + channel) + seed) * np.cos(y / (4 + channel))
        edge = np.where((x * 2 + y * (channel + 1)) % (width + 3) < width // 3, 60, -40)
        layers.append(np.clip(wave + edge + random_.integers(-25, 25, (height, width)), 0, 255))
    return np.stack(layers, -1).astype(np.uint8)


def smooth(width, height, channels, seed):
    y, x = np.mgrid[0:height, 0:width]
    layers = [127 + 110 * np.sin(x / (5 + c) + seed + c) * np.cos(y / (6 + c)) for c in range(channels)]
    return np.clip(np.stack(layers, -1), 0, 255).astype(np.uint8)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, rows, interlace=0, extra=b"", filters=None, split=None, level=9):
    """A PNG file of packed rows; `rows(pass)` gives those of a pass of Adam7, as (width, [bytes])."""
    data = b""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    size = max(1, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth // 8)
    for left, top, across, down in passes if interlace else [(0, 0, 1, 1)]:
        if left >= width or top >= height:
            continue
        above = None
        for number, row in enumerate(rows(left, top, across, down)):
            above = above or bytes(len(row))
            kind = (filters or [0])[number % len(filters or [0])]
            filtered = bytearray()
            for i, value in enumerate(row):
                a = row[i - size] if i >= size else 0
                b = above[i]
                c = above[i - size] if i >= size else 0
                p = a + b - c
                nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
                filtered.append((value - [0, a, b, (a + b) // 2, nearest][kind]) & 255)
            data += bytes([kind]) + bytes(filtered)
            above = row
    stream = zlib.compress(data, level)
    parts = [stream[i : i + split] for i in range(0, len(stream), split)] if split else [stream]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + b"".join(chunk(b"IDAT", part) for part in parts)
        + chunk(b"IEND", b"")
    )


def packed(samples, depth):
    """The rows of an array [height, width, channels] of samples, for all passes."""

    def rows(left, top, across, down):
        for row in samples[top::down, left::across]:
            if depth == 16:
                yield row.astype(">u2").tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in row.reshape(-1))
                bits += "0" * (-len(bits) % 8)
                yield bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))

    return rows


def save(image, form, **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def exif(orientation, big=False):
    if big:
        return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def files():
    rgb = Image.fromarray(pattern(23, 17, 3, 1))
    rgba = Image.fromarray(pattern(21, 19, 4, 2))
    alpha = np.array(rgba)
    alpha[:6, :, 3] = 0
    alpha[6:9, :, 3] = 255
    rgba = Image.fromarray(alpha)
    grey = Image.fromarray(pattern(22, 13, 1, 3)[:, :, 0])
    soft = Image.fromarray(smooth(33, 27, 3, 4))
    yield "rgb.png", save(rgb, "PNG")
    yield "rgba.png", save(rgba, "PNG")
    yield "grey.png", save(grey, "PNG")
    yield "grey-alpha.png", save(rgba.convert("LA"), "PNG")
    yield "one-pixel.png", save(rgb.crop((0, 0, 1, 1)), "PNG")
    yield "palette.png", save(rgb.quantize(40), "PNG")
    yield "palette-alpha.png", save(rgba.quantize(30, method=Image.Quantize.FASTOCTREE), "PNG")
    gif = rgb.quantize(16)
    gif.info["transparency"] = 3
    yield "palette-one-clear.png", save(gif, "PNG", transparency=3)
    yield "rgb-key.png", save(
        Image.fromarray(np.array(rgb) // 128 * 255), "PNG", transparency=(255, 0, 255))
    yield "grey-key.png", save(Image.fromarray(np.array(grey) // 64 * 64), "PNG", transparency=128)
    every = [0, 1, 2, 3, 4]
    for depth in (1, 2, 4, 8):
        samples = pattern(19, 21, 1, 5) >> (8 - depth)
        yield f"grey-{depth}.png", png(19, 21, depth, 0, packed(samples, depth), filters=every)
        yield f"grey-{depth}-interlaced.png", png(19, 21, depth, 0, packed(samples, depth), 1, filters=every)
        palette = pattern(1 << depth, 1, 3, 6).tobytes()
        yield f"palette-{depth}-interlaced.png", png(
            19, 21, depth, 3, packed(samples, depth), 1, extra=chunk(b"PLTE", palette))
    for colour, channels in ((2, 3), (4, 2), (6, 4)):
        samples = pattern(17, 18, channels, 7 + colour)
        wide = samples.astype(np.uint16) * 257 + np.arange(17)[None, :, None] * 7 % 200
        yield f"colour-{colour}-filters.png", png(17, 18, 8, colour, packed(samples, 8), filters=every)
        yield f"colour-{colour}-interlaced.png", png(17, 18, 8, colour, packed(samples, 8), 1, filters=every, split=40)
        yield f"colour-{colour}-16.png", png(17, 18, 16, colour, packed(wide & 0xFFFF, 16), filters=every)
        yield f"colour-{colour}-16-interlaced.png", png(17, 18, 16, colour, packed(wide & 0xFFFF, 16), 1)
    for width, height in ((1, 1), (2, 1), (1, 3), (5, 5), (3, 9)):
        samples = pattern(max(width, 4), max(height, 4), 3, 11)[:height, :width]
        yield f"interlaced-{width}x{height}.png", png(width, height, 8, 2, packed(samples, 8), 1)
    for level in (0, 1):
        yield f"level-{level}.png", png(17, 18, 8, 2, packed(pattern(17, 18, 3, 12), 8), level=level)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a text")
    info.add(b"gAMA", struct.pack(">I", 100000))
    yield "gamma-profile.png", save(
        rgb, "PNG", pnginfo=info, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:132])
    yield "orientation-6.png", save(rgb, "PNG", exif=exif(6))
    for subsampling, name in ((0, "444"), (1, "422"), (2, "420")):
        yield f"soft-{name}.jpg", save(soft, "JPEG", quality=90, subsampling=subsampling)
        yield f"noise-{name}.jpg", save(rgb, "JPEG", quality=75, subsampling=subsampling)
    yield "progressive.jpg", save(soft, "JPEG", quality=80, progressive=True)
    yield "optimized.jpg", save(soft, "JPEG", quality=30, optimize=True)
    yield "restart.jpg", save(soft, "JPEG", quality=80, restart_marker_blocks=2)
    yield "grey.jpg", save(grey, "JPEG", quality=85)
    yield "cmyk.jpg", save(Image.fromarray(smooth(25, 18, 4, 13), "CMYK"), "JPEG", quality=90)
    yield "rgb-stored.jpg", save(soft, "JPEG", quality=90, keep_rgb=True)
    inks = save(Image.fromarray(smooth(25, 18, 4, 14), "CMYK"), "JPEG", quality=90)
    at = inks.find(b"Adobe")
    yield "cmyk-without-adobe.jpg", inks[: at - 4] + inks[at + 12 :]
    for orientation in range(1, 9):
        yield f"orientation-{orientation}.jpg", save(
            soft.crop((0, 0, 19, 11)), "JPEG", quality=92, exif=exif(orientation, orientation % 2 == 0))
    yield "one-pixel.jpg", save(soft.crop((0, 0, 1, 1)), "JPEG")
    yield "lossless.webp", save(rgb, "WEBP", lossless=True)
    yield "lossless-alpha.webp", save(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", save(soft, "WEBP", quality=80)
    yield "lossy-noise.webp", save(rgb, "WEBP", quality=50)
    yield "lossy-alpha.webp", save(rgba, "WEBP", quality=80)
    yield "orientation-8.webp", save(soft, "WEBP", quality=80, exif=exif(8)[6:])


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def make_files():
    listed = []
    for name, data in files():
        assert len(data) <= 4096, (name, len(data))
        (OUT / "files" / name).write_bytes(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        pixels = convert_to_rgb(image, return_numpy=True)
        listed.append({"name": name, "width": image.width, "height": image.height, "rgb": text(pixels)})
    still, second = (Image.fromarray(pattern(8, 8, 3, seed)) for seed in (20, 21))
    (OUT / "refused" / "animated.webp").write_bytes(save(still, "WEBP", save_all=True, append_images=[second]))
    (OUT / "refused" / "picture.gif").write_bytes(save(still.quantize(8), "GIF"))
    (OUT / "refused" / "picture.bmp").write_bytes(save(still, "BMP"))
    write("files.json", listed)


def make_resized():
    cases = []
    random_ = random.Random(1)
    sizes = [(37, 23), (23, 37), (9, 9), (1, 1), (64, 5), (5, 64), (37, 24), (38, 23), (3, 70), (120, 90)]
    image = Image.fromarray(pattern(37, 23, 3, 30))
    for resample in range(6):
        for width, height in sizes + [(random_.randint(1, 60), random_.randint(1, 60)) for _ in range(4)]:
            resized = np.array(image.resize((width, height), resample=resample))
            cases.append(
                {"resample": resample, "width": width, "height": height, "hash": fnv(resized.tobytes())})
    # The tests compute this one themselves.
    y, x, channel = np.mgrid[0:300, 0:400, 0:3]
    large = Image.fromarray(((x * 7 + y * 13 + channel * 50 ^ x * y) & 255).astype(np.uint8))
    for resample in range(6):
        for width, height in ((224, 224), (31, 17)):
            resized = np.array(large.resize((width, height), resample=resample))
            cases.append({
                "large": True, "resample": resample, "width": width, "height": height, "hash": fnv(resized.tobytes())})
    write("resized.json", {
        "picture": {"width": 37, "height": 23, "rgb": text(np.array(image))},
        "cases": cases,
    })


PICTURES = {"landscape": (40, 26), "portrait": (21, 50), "square": (30, 30), "tiny": (3, 2), "tall": (4, 61)}


def make_processors():
    fast = {"shortest_edge": 20}
    configurations = [
        {"image_processor_type": "ViTImageProcessor"},
        {"image_processor_type": "ViTImageProcessorFast", "size": 32},
        {"feature_extractor_type": "ViTFeatureExtractor", "size": [18, 25], "resample": 3},
        {"feature_extractor_type": "ViTFeatureExtractor", "size": {"height": 19, "width": 31}, "resample": 0},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}, "do_normalize": False},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}, "do_rescale": False},
        {"image_processor_type": "ViTImageProcessor", "do_resize": False},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16},
         "do_rescale": False, "do_normalize": False},
        {"image_processor_type": "ViTImageProcessor", "size": 32, "default_to_square": False},
        {"image_processor_type": "ViTImageProcessor", "size": 30, "do_center_crop": True, "crop_size": 24},
        {"image_processor_type": "ViTImageProcessor", "size": 30, "image_mean": [0.1, 0.2, 0.3],
         "image_std": [0.9, 0.4, 0.7], "rescale_factor": 0.0078125},
        {"image_processor_type": "ViTImageProcessor", "size": 30, "image_mean": 0.4, "image_std": 0.3},
        {"image_processor_type": "CLIPImageProcessor"},
        {"image_processor_type": "CLIPImageProcessorFast", "size": fast, "crop_size": {"height": 16, "width": 16}},
        {"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": 27},
        {"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": {"height": 15, "width": 90}},
        {"image_processor_type": "CLIPImageProcessor", "size": 21, "crop_size": {"height": 30, "width": 14}},
        {"image_processor_type": "CLIPImageProcessor", "do_resize": False, "crop_size": 28},
        {"image_processor_type": "CLIPImageProcessor", "size": {"height": 33, "width": 20}, "do_center_crop": False},
        {"image_processor_type": "CLIPImageProcessor", "size": fast, "resample": 1, "crop_size": 20},
        {"image_processor_type": "CLIPImageProcessor", "use_square_size": True, "crop_size": 64, "do_convert_rgb": True},
        {"image_processor_type": "SiglipImageProcessor"},
        {"image_processor_type": "SiglipImageProcessor", "size": {"height": 27, "width": 27}, "resample": 2},
        {"image_processor_type": "SiglipImageProcessor", "size": 27, "do_convert_rgb": None},
        {"image_processor_type": "LlavaImageProcessor", "size": fast, "crop_size": 20},
        {"image_processor_type": "LlavaImageProcessor", "size": fast, "crop_size": 20, "do_pad": True},
        {"image_processor_type": "LlavaImageProcessor", "do_pad": True, "image_mean": [0.5, 0.25, 1.0]},
        {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 40, "width": 40}},
        {"image_processor_type": "Gemma3ImageProcessorFast", "do_pan_and_scan": None, "do_convert_rgb": None,
         "pan_and_scan_max_num_crops": None, "size": {"height": 28, "width": 28}, "resample": 2,
         "image_seq_length": 256, "processor_class": "Gemma3Processor", "image_mean": [0.5, 0.5, 0.5],
         "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392156862745098},
    ]
    pictures, cases = {}, []
    for seed, (name, (width, height)) in enumerate(PICTURES.items()):
        array = pattern(width, height, 3, 40 + seed)
        pictures[name] = {"width": width, "height": height, "rgb": text(array)}
    for configuration in configurations:
        with tempfile.TemporaryDirectory() as directory:
            (pathlib.Path(directory) / "preprocessor_config.json").write_text(json.dumps(configuration))
            processor = AutoImageProcessor.from_pretrained(directory, backend="pil")
        for seed, (name, (width, height)) in enumerate(PICTURES.items()):
            image = Image.fromarray(pattern(width, height, 3, 40 + seed))
            values = np.asarray(processor(images=image)["pixel_values"][0], dtype=np.float32)
            cases.append({
                "configuration": configuration, "picture": name, "height": values.shape[1], "width": values.shape[2],
                "hash": fnv(values.astype("<f4").tobytes()),
                "first": [float(v) for v in values.reshape(-1)[:6]],
            })
    write("processors.json", {"pictures": pictures, "cases": cases})


def tokenizer(specials):
    words = ["<unk>", "user", ":", "what", "is", "this", "?", "and", "\\n", *specials.values()]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Whitespace()])
    made = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", extra_special_tokens=specials)
    assert all(made.convert_tokens_to_ids(word) == words.index(word) for word in specials.values())
    return made


def make_placeholders():
    cases = []

    def case(name, processor, configuration, prompts):
        directory = OUT / "placeholders" / name
        directory.mkdir(parents=True, exist_ok=True)
        processor.save_pretrained(directory)
        for path in directory.iterdir():
            if path.name not in ("processor_config.json", "tokenizer_config.json"):
                path.unlink()
        (directory / "config.json").write_text(json.dumps(configuration) + "\n")
        for prompt, pictures in prompts:
            images = [Image.fromarray(pattern(30, 40, 3, i)) for i in range(pictures)]
            texts, _ = processor.get_text_with_replacements([prompt], processor._process_images(images)[1])
            ids = processor(images=images, text=prompt)["input_ids"][0]
            cases.append({"name": name, "prompt": prompt, "pictures": pictures, "text": texts[0], "ids": ids})

    def llava(name, crop, vision, token="<image>", **options):
        words = tokenizer({"image_token": token})
        shown = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=crop)
        processor = LlavaProcessor(shown, words, **options)
        strategy = options["vision_feature_select_strategy"]
        case(name, processor, {
            "model_type": "llava", "image_token_index": words.convert_tokens_to_ids(token),
            "vision_feature_select_strategy": strategy, "vision_config": vision,
        }, [(f"user: {token}\nwhat is this?", 1), (f"{token}{token} what is {token} and this", 3),
            ("what is this?", 0)])

    clip = {"model_type": "clip_vision_model", "patch_size": 7}
    llava("llava-clip", 28, clip, patch_size=7, num_additional_image_tokens=1, vision_feature_select_strategy="default")
    llava("llava-full", {"height": 21, "width": 30}, clip, patch_size=7, num_additional_image_tokens=1,
          vision_feature_select_strategy="full")
    llava("llava-siglip", 28, {"model_type": "siglip_vision_model", "patch_size": 14}, "<picture>", patch_size=14,
          vision_feature_select_strategy="full")
    specials = {
        "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = tokenizer(specials)
    shown = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    boi = specials["boi_token"]
    case("gemma3", Gemma3Processor(shown, words, image_seq_length=4), {
        "model_type": "gemma3", "image_token_index": words.convert_tokens_to_ids("<image_soft_token>"),
        "mm_tokens_per_image": 4,
    }, [(f"user: {boi}what is this?", 1), (f"{boi}what is {boi}{boi} and this", 3)])
    write("placeholders.json", cases)


def write(name, value):
    (OUT / name).write_text(json.dumps(value, separators=(",", ":")).replace("},{", "},\n{") + "\n")


if __name__ == "__main__":
    for folder in ("files", "refused"):
        (OUT / folder).mkdir(parents=True, exist_ok=True)
    make_files()
    make_resized()
    make_processors()
    make_placeholders()
