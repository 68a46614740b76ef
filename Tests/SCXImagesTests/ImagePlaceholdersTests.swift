import SCXImages
import SCXInference
import Testing

@Suite("places of pictures in prompts")
struct ImagePlaceholdersTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let json: JSON
        var name: String { json["name"]?.string ?? "" }
        var testDescription: String { "\(name) \(json["prompt"]?.text ?? "")" }
        var directory: String { "\(ImageFixtures.directory)/placeholders/\(name)" }

        /// As many pictures as the prompt has, as the tower takes them.
        func pictures() throws -> [ImagePixels] {
            let processor = try ImageProcessor(directory: directory)
            let picture = Picture(width: 40, height: 30, bytes: [UInt8](repeating: 9, count: 3_600))
            return [ImagePixels](
                repeating: try processor.pixels(of: picture), count: try #require(json["pictures"]?.int))
        }
    }

    private static let cases = (ImageFixtures.json("placeholders.json").array ?? []).map { Case(json: $0) }

    @Test("texts and tokens are those of transformers' processors", arguments: cases)
    func texts(_ test: Case) throws {
        let placeholders = try ImagePlaceholders(directory: test.directory)
        let pictures = try test.pictures()
        let prompt = try #require(test.json["prompt"]?.string)
        #expect(try placeholders.text(prompt, for: pictures) == test.json["text"]?.string)
        let ids = try #require(test.json["ids"]?.array).compactMap(\.int)
        let ranges = try placeholders.ranges(in: ids, for: pictures)
        #expect(ranges.count == pictures.count)
        #expect(zip(ranges, pictures).allSatisfy { $0.count == placeholders.count(for: $1) })
        // All tokens of pictures, and no others, are in the ranges.
        let places = ids.indices.filter { ids[$0] == placeholders.softTokenID }
        #expect(ranges.flatMap { Array($0) } == places)
    }

    @Test("a prompt with more or fewer placeholders than pictures is refused", arguments: cases)
    func counts(_ test: Case) throws {
        let placeholders = try ImagePlaceholders(directory: test.directory)
        let prompt = try #require(test.json["prompt"]?.string)
        let pictures = try test.pictures()
        let one = ImagePixels(
            count: 1, channels: 3, height: 28, width: 28, values: .init(repeating: 0, count: 2_352))
        let error = #expect(throws: ImageError.self) { try placeholders.text(prompt, for: pictures + [one]) }
        #expect(error?.description.contains("\(pictures.count + 1) pictures") == true)
        #expect(throws: ImageError.self) {
            try placeholders.text(prompt + placeholders.placeholder, for: pictures)
        }
        let ids = try #require(test.json["ids"]?.array).compactMap(\.int)
        #expect(throws: ImageError.self) { try placeholders.ranges(in: ids, for: pictures + [one]) }
        #expect(throws: ImageError.self) {
            try placeholders.ranges(in: ids + [placeholders.softTokenID], for: pictures)
        }
    }

    @Test("tokens of one picture that are not in one piece are refused")
    func apart() throws {
        let test = try #require(Self.cases.first { $0.name == "gemma3" })
        let placeholders = try ImagePlaceholders(directory: test.directory)
        let soft = placeholders.softTokenID
        let picture = try #require(try test.pictures().first)
        #expect(try placeholders.ranges(in: [0, soft, soft, soft, soft, 0], for: [picture]) == [1..<5])
        #expect(throws: ImageError.self) {
            try placeholders.ranges(in: [0, soft, soft, 0, soft, soft], for: [picture])
        }
    }

    @Test("a text that has the tokens of a picture itself is refused")
    func softTokens() throws {
        let test = try #require(Self.cases.first { $0.name == "gemma3" })
        let placeholders = try ImagePlaceholders(directory: test.directory)
        #expect(throws: ImageError.self) { try placeholders.text("what is <image_soft_token>", for: []) }
    }

    @Test("placeholders are found beside characters that join with others")
    func accents() throws {
        let test = try #require(Self.cases.first { $0.name == "gemma3" })
        let placeholders = try ImagePlaceholders(directory: test.directory)
        let text = try placeholders.text(
            "<start_of_image>\u{301}x", for: [try #require(try test.pictures().first)])
        #expect(text.unicodeScalars.contains("\u{301}") && text.utf8.count > 60)
    }

    @Test("models of the first kind say the patch size in their own configuration alone")
    func oldFiles() throws {
        let pixels = ImagePixels(
            count: 1, channels: 3, height: 28, width: 28, values: .init(repeating: 0, count: 2_352))
        func count(_ tower: String, _ strategy: String) throws -> Int {
            try ImageFixtures.withDirectory([
                "config.json": """
                {"model_type": "llava", "image_token_index": 5, "vision_feature_select_strategy": "\(strategy)",
                 "vision_config": {"model_type": "\(tower)", "patch_size": 14}}
                """
            ]) { try ImagePlaceholders(directory: $0).count(for: pixels) }
        }
        #expect(try count("clip_vision_model", "default") == 4)
        #expect(try count("clip_vision_model", "full") == 5)
        #expect(try count("siglip_vision_model", "full") == 4)
    }

    @Test("a picture of enormously many tokens is refused")
    func tokenCount() throws {
        let configuration = #"{"model_type": "llava", "vision_config": {"patch_size": 1}}"#
        let placeholders = try ImageFixtures.withDirectory(["config.json": configuration]) {
            try ImagePlaceholders(directory: $0)
        }
        func picture(_ side: Int) -> ImagePixels {
            let values = [Float](repeating: 0, count: 3 * side * side)
            return ImagePixels(count: 1, channels: 3, height: side, width: side, values: values)
        }
        #expect(throws: Never.self) { try placeholders.text("<image>", for: [picture(256)]) }
        #expect(throws: ImageError.tokenCount(257 * 257, limit: 65_536)) {
            try placeholders.text("<image>", for: [picture(257)])
        }
    }

    @Test(
        "configurations that cannot be followed are refused",
        arguments: [
            #"{"model_type": "llama"}"#, "{}", #"{"model_type": "llava"}"#,
            #"{"model_type": "llava", "vision_config": {"patch_size": 0}}"#,
            #"{"model_type": "llava", "vision_config": {"patch_size": 1e300}}"#,
            #"{"model_type": "llava", "vision_config": {"patch_size": 7}, "vision_feature_select_strategy": "none"}"#,
            #"{"model_type": "llava", "vision_config": [], "vision_feature_select_strategy": "full"}"#,
            #"{"model_type": "llava", "vision_config": {"patch_size": 7}, "image_token_index": -1}"#,
            #"{"model_type": "gemma3", "mm_tokens_per_image": 0}"#,
            #"{"model_type": "gemma3", "mm_tokens_per_image": 64}"#,
            #"{"model_type": "gemma3", "mm_tokens_per_image": 100000000000}"#,
        ])
    func refused(_ configuration: String) throws {
        #expect(throws: CheckpointError.self) {
            try ImageFixtures.withDirectory(["config.json": configuration]) {
                try ImagePlaceholders(directory: $0)
            }
        }
    }
}
