import SCXImages
import SCXInference
import Testing

@Suite("preparing pictures")
struct ImageProcessorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let json: JSON
        var configuration: String { json["configuration"]?.text ?? "" }
        var picture: String { json["picture"]?.string ?? "" }
        var testDescription: String { "\(picture) \(configuration)" }
    }

    private static let all = ImageFixtures.json("processors.json")
    private static let cases = (all["cases"]?.array ?? []).map { Case(json: $0) }

    @Test("pixel values are those of transformers to the bit", arguments: cases)
    func values(_ test: Case) throws {
        let picture = try ImageFixtures.picture(try #require(Self.all["pictures"]?[test.picture]))
        let pixels = try ImageFixtures.processor(test.configuration).pixels(of: picture)
        #expect(pixels.count == 1 && pixels.channels == 3)
        #expect(pixels.height == test.json["height"]?.int && pixels.width == test.json["width"]?.int)
        let first = (test.json["first"]?.array ?? []).compactMap(\.double).map { Float($0) }
        #expect(!first.isEmpty && Array(pixels.values.prefix(first.count)) == first)
        let bytes = pixels.values.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0 * 8)) }
        }
        #expect(ImageFixtures.hash(bytes) == test.json["hash"]?.string)
    }

    struct Resize: Sendable, CustomTestStringConvertible {
        let json: JSON
        var testDescription: String { json.text }
    }

    private static let resized = ImageFixtures.json("resized.json")

    @Test(
        "resized pictures are those of PIL to the bit, with all filters",
        arguments: (resized["cases"]?.array ?? []).map { Resize(json: $0) })
    func resizing(_ test: Resize) throws {
        var picture = try ImageFixtures.picture(try #require(Self.resized["picture"]))
        if test.json["large"]?.bool == true {
            let bytes = (0..<300 * 400 * 3).map { i in
                let (x, y, channel) = (i / 3 % 400, i / 1_200, i % 3)
                return UInt8((x * 7 + y * 13 + channel * 50 ^ x * y) & 255)
            }
            picture = Picture(width: 400, height: 300, bytes: bytes)
        }
        let (width, height) = (try #require(test.json["width"]?.int), try #require(test.json["height"]?.int))
        let resample = try #require(test.json["resample"]?.int)
        let processor = try ImageFixtures.processor(
            """
            {"image_processor_type": "ViTImageProcessor", "do_rescale": false, "do_normalize": false,
             "size": {"height": \(height), "width": \(width)}, "resample": \(resample)}
            """)
        let pixels = try processor.pixels(of: picture)
        #expect(pixels.height == height && pixels.width == width)
        let count = height * width
        let bytes = (0..<count * 3).map { UInt8(pixels.values[$0 % 3 * count + $0 / 3]) }
        #expect(ImageFixtures.hash(bytes) == test.json["hash"]?.string)
    }

    @Test("a file is decoded and prepared in one step")
    func file() throws {
        let processor = try ImageFixtures.processor(
            #"{"image_processor_type": "ViTImageProcessor", "size": 8}"#)
        let bytes = ImageFixtures.bytes("files/rgb.png")
        let picture = try PictureDecoder().picture(of: bytes)
        #expect(try processor.pixels(ofPicture: bytes) == (try processor.pixels(of: picture)))
        #expect(throws: ImageError.format) { try processor.pixels(ofPicture: [1, 2, 3]) }
    }

    @Test("the configuration of a processor file comes first, and the model's type says what names do not")
    func files() throws {
        let old = #"{"image_processor_type": "CLIPImageProcessor"}"#
        let nested =
            #"{"image_processor": {"image_processor_type": "SiglipImageProcessor"}, "patch_size": 14}"#
        func kind(_ files: [String: String]) throws -> ImageProcessor.Kind {
            try ImageFixtures.withDirectory(files) { try ImageProcessor(directory: $0).kind }
        }
        #expect(try kind(["preprocessor_config.json": old]) == .clip)
        #expect(try kind(["preprocessor_config.json": old, "processor_config.json": nested]) == .siglip)
        #expect(try kind(["preprocessor_config.json": old, "processor_config.json": "{}"]) == .clip)
        for (type, expected) in [
            ("vit", ImageProcessor.Kind.vit), ("clip", .clip), ("siglip", .siglip), ("llava", .llava),
            ("gemma3", .gemma3),
        ] {
            let files = ["preprocessor_config.json": "{}", "config.json": #"{"model_type": "\#(type)"}"#]
            #expect(try kind(files) == expected)
        }
        #expect(throws: CheckpointError.self) { try kind([:]) }
        #expect(throws: CheckpointError.self) { try kind(["preprocessor_config.json": "{}"]) }
        #expect(throws: CheckpointError.self) { try kind(["preprocessor_config.json": "[]"]) }
        #expect(throws: CheckpointError.self) { try kind(["preprocessor_config.json": "{"]) }
    }

    @Test(
        "options that cannot be followed are refused by name",
        arguments: [
            (#""size": {"longest_edge": 30}"#, "longest_edge"),
            (#""size": {"shortest_edge": 30, "longest_edge": 40}"#, "longest_edge"),
            (#""size": {"height": 30}"#, "size"), (#""size": {"height": 30, "width": null}"#, "size"),
            (#""size": {"height": 0, "width": 30}"#, "size.height"), (#""size": -3"#, "size"),
            (#""size": {"shortest_edge": 1000000000000}"#, "size.shortest_edge"), (#""size": 1e300"#, "size"),
            (#""size": [1, 2, 3]"#, "size"), (#""size": "large""#, "size"), (#""size": [5, 9000]"#, "size"),
            (#""crop_size": {"shortest_edge": 30}"#, "crop_size"), (#""crop_size": 5000"#, "crop_size"),
            (#""crop_size": {"height": 30, "width": 99999}"#, "crop_size.width"),
            (#""resample": 6"#, "resample"),
            (#""resample": "bicubic""#, "resample"), (#""do_resize": 1"#, "do_resize"),
            (#""image_mean": [0.5, 0.5]"#, "image_mean"), (#""image_mean": "grey""#, "image_mean"),
            (#""image_std": [0.5, 0, 0.5]"#, "image_std"), (#""image_std": 1e-50"#, "image_std"),
            (#""image_std": 1e-44, "rescale_factor": 1e30"#, "image_std"),
            (#""image_mean": NaN"#, "image_mean"),
            (#""rescale_factor": Infinity"#, "rescale_factor"),
            (#""rescale_factor": "1/255""#, "rescale_factor"),
            (#""do_pad": true"#, "do_pad"), (#""do_flip_channel_order": true"#, "do_flip_channel_order"),
            (#""do_pan_and_scan": true"#, "do_pan_and_scan"), (#""size_divisor": 32"#, "size_divisor"),
            (#""do_convert_grayscale": true"#, "do_convert_grayscale"), (#""offset": true"#, "offset"),
        ])
    func refused(_ option: String, _ name: String) throws {
        let error = #expect(throws: CheckpointError.self) {
            try ImageFixtures.processor(#"{"image_processor_type": "CLIPImageProcessor", \#(option)}"#)
        }
        let text = error?.description ?? ""
        #expect(text.contains(name) && text.contains("preprocessor_config.json") && !text.contains("\n"))
    }

    @Test("processors that are not known are refused, and options that say nothing are not")
    func names() throws {
        for name in ["ConvNextImageProcessor", "Siglip2ImageProcessor", "", "CLIP"] {
            #expect(throws: CheckpointError.self) {
                try ImageFixtures.processor(#"{"image_processor_type": "\#(name)"}"#)
            }
        }
        for name in ["", "Fast", "Pil"].map({ "CLIPImageProcessor\($0)" }) + ["CLIPFeatureExtractor"] {
            let processor = try ImageFixtures.processor(
                #"{"image_processor_type": "\#(name)", "size_divisor": null, "do_reduce_labels": false}"#)
            #expect(
                processor.kind == .clip && processor.size == .shortestEdge(224) && processor.resample == 3)
        }
        #expect(throws: CheckpointError.self) {
            try ImageFixtures.processor(
                #"{"image_processor_type": "Gemma3ImageProcessor", "do_center_crop": true}"#)
        }
        #expect(throws: CheckpointError.self) {
            try ImageFixtures.processor(
                #"{"image_processor_type": "LlavaImageProcessor", "do_pad": true, "image_mean": [2, 0, 0]}"#)
        }
    }

    @Test("a picture that would become too large is refused")
    func tooLong() throws {
        let processor = try ImageFixtures.processor(
            #"{"image_processor_type": "CLIPImageProcessor", "size": 4096, "crop_size": 30}"#)
        let line = Picture(width: 1, height: 4_000, bytes: [UInt8](repeating: 1, count: 12_000))
        #expect(throws: ImageError.resized(width: 4_096, height: 16_384_000, limit: 16 << 20)) {
            try processor.pixels(of: line)
        }
    }
}
