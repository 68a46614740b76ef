package import SCXInference

/// Where a prompt has its pictures: what a chat template writes for each, and which tokens stand for it in its place.
///
/// LLaVA and Gemma 3 take a prompt in which each picture is as many tokens of one kind as the tower gives vectors.
/// transformers writes them into the rendered text before it is tokenized (`LlavaProcessor` and `Gemma3Processor`), and
/// so does ``text(_:for:)``.
package struct ImagePlaceholders: Equatable, Sendable {
    /// What the chat template writes for a picture.
    package let placeholder: String
    /// The token that stands for one vector of a picture.
    package let softToken: String
    /// Its id, by `config.json`.
    package let softTokenID: Int
    /// What is written before and after the tokens of a picture.
    package let before: String
    package let after: String
    private let count: Count

    /// How many tokens a picture takes.
    private enum Count: Equatable, Sendable {
        /// One for each square patch, and some more, or fewer, for all.
        case patches(size: Int, others: Int)
        case fixed(Int)
    }

    /// The most tokens that a configuration may give a picture.
    static let countLimit = 65_536

    /// Reads `config.json`, `processor_config.json` and `tokenizer_config.json`.
    ///
    /// - Parameter directory: The model's directory.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    package init(directory: String) throws(CheckpointError) {
        guard let model = try ImageOptions(directory: directory, name: "config.json") else {
            throw .missingFile(
                directory: directory, name: "config.json",
                hint: "it is a part of every model; download it again")
        }
        let processor = try ImageOptions(directory: directory, name: "processor_config.json")
        let tokenizer = try ImageOptions(directory: directory, name: "tokenizer_config.json")
        let ids = 0...Int(Int32.max)
        let newID = try model.integer("image_token_id", ids)
        let oldID = try model.integer("image_token_index", ids)
        let id = newID ?? oldID
        switch try model.text("model_type") {
        case "llava":
            let own = try Self.token("image_token", tokenizer)
            let other = try processor?.text("image_token")
            placeholder = own ?? other ?? "<image>"
            softToken = placeholder
            (before, after) = ("", "")
            softTokenID = id ?? 32_000
            count = try Self.llava(model, processor)
        case "gemma3":
            placeholder = try Self.token("boi_token", tokenizer) ?? "<start_of_image>"
            softToken = try Self.token("image_token", tokenizer) ?? "<image_soft_token>"
            before = "\n\n\(placeholder)"
            after = "\(try Self.token("eoi_token", tokenizer) ?? "<end_of_image>")\n\n"
            softTokenID = id ?? 262_144
            let own = try processor?.integer("image_seq_length", 1...Self.countLimit)
            count = .fixed(own ?? 256)
            let tower = try model.integer("mm_tokens_per_image", 1...Self.countLimit) ?? 256
            guard count == .fixed(tower) else {
                throw model.fault(
                    "mm_tokens_per_image", "is \(tower), but processor_config.json says \(own ?? 256)")
            }
        case let type:
            throw model.unsupported(
                "model_type '\(type ?? "")' with pictures in its prompts", "llava, gemma3")
        }
    }

    /// What LLaVA's processor and configuration say of the tokens of a picture.
    private static func llava(_ model: ImageOptions, _ processor: ImageOptions?) throws(CheckpointError)
        -> Count
    {
        let tower = try model.object("vision_config")
        let ownPatch = try processor?.integer("patch_size", 1...ImageProcessor.sideLimit)
        // Without a patch size the processor's file is one of the first ones, which do not count either.
        let towerPatch = try tower?.integer("patch_size", 1...ImageProcessor.sideLimit)
        guard let patch = ownPatch ?? towerPatch else {
            throw model.fault("vision_config.patch_size", "is missing")
        }
        let field = "vision_feature_select_strategy"
        var strategy = try processor?.text(field)
        let modelStrategy = try model.text(field) ?? "default"
        var additional = try processor?.integer("num_additional_image_tokens", 0...countLimit) ?? 0
        if ownPatch == nil {
            // CLIP's tower has a vector of the whole picture before those of its patches, SigLIP's has none.
            strategy = modelStrategy
            additional = try tower?.text("model_type") ?? "clip_vision_model" == "clip_vision_model" ? 1 : 0
        }
        for name in [strategy ?? modelStrategy, modelStrategy] where !["default", "full"].contains(name) {
            throw model.unsupported("\(field) '\(name)'", "default, full")
        }
        return .patches(size: patch, others: additional - (strategy == "default" ? 1 : 0))
    }

    /// A token of the tokenizer's configuration: a field, or a member of its special tokens.
    private static func token(_ name: String, _ file: ImageOptions?) throws(CheckpointError) -> String? {
        guard let file else { return nil }
        for group in ["", "extra_special_tokens", "model_specific_special_tokens"] {
            let value = group.isEmpty ? file.json[name] : file.json[group]?[name]
            guard let value, let text = value.string ?? value["content"]?.string else { continue }
            guard !text.isEmpty, text.utf8.count <= 256 else { throw file.fault(name, "is no token") }
            return text
        }
        return nil
    }

    /// How many tokens a picture takes.
    ///
    /// - Parameter pixels: What the tower gets of it.
    /// - Returns: The tokens, of which there may be none.
    package func count(for pixels: ImagePixels) -> Int {
        switch count {
        case .patches(let size, let others): max(0, (pixels.height / size) * (pixels.width / size) + others)
        case .fixed(let count): count
        }
    }

    /// Writes the tokens of pictures into a rendered prompt.
    ///
    /// - Parameters:
    ///   - prompt: The text that the chat template gives, with one placeholder for each picture.
    ///   - pictures: The pictures in their order.
    /// - Returns: The text to tokenize.
    /// - Throws: ``ImageError`` when the prompt has more or fewer placeholders than there are pictures, or a picture
    ///   takes far too many tokens.
    package func text(_ prompt: String, for pictures: [ImagePixels]) throws(ImageError) -> String {
        let pieces = prompt.pieces(between: placeholder)
        guard pieces.count == pictures.count + 1 else {
            throw .placeholders(token: placeholder, found: pieces.count - 1, pictures: pictures.count)
        }
        // Where the token itself is no placeholder, a text that has it would be taken for a part of a picture.
        guard softToken == placeholder || prompt.pieces(between: softToken).count == 1 else {
            throw .placeholders(
                token: softToken, found: prompt.pieces(between: softToken).count - 1, pictures: 0)
        }
        var text = pieces[0]
        for (picture, piece) in zip(pictures, pieces.dropFirst()) {
            let count = count(for: picture)
            guard count <= Self.countLimit else { throw .tokenCount(count, limit: Self.countLimit) }
            text += before + String(repeating: softToken, count: count) + after + piece
        }
        return text
    }

    /// Finds the places of pictures in the tokens of a prompt.
    ///
    /// - Parameters:
    ///   - tokens: The ids of the text of ``text(_:for:)``.
    ///   - pictures: The pictures in their order.
    /// - Returns: For each picture the positions of its tokens, which the vectors of the tower take.
    /// - Throws: ``ImageError`` when the tokens are not those of the pictures.
    package func ranges(
        in tokens: some Sequence<Int>, for pictures: [ImagePixels]
    ) throws(ImageError) -> [Range<Int>] {
        let places = tokens.enumerated().filter { $0.element == softTokenID }.map(\.offset)
        let counts = pictures.map { count(for: $0) }
        let expected = counts.reduce(0, +)
        guard places.count == expected else { throw .tokens(found: places.count, expected: expected) }
        var ranges: [Range<Int>] = []
        var at = 0
        for count in counts {
            let first = at < places.count ? places[at] : 0
            guard count == 0 || places[at + count - 1] == first + count - 1 else {
                throw .tokens(found: places.count, expected: expected)
            }
            ranges.append(first..<first + count)
            at += count
        }
        return ranges
    }
}

extension String {
    /// The texts before, between and after all places where the text has `separator`.
    ///
    /// It compares bytes, as a regular expression of Python does characters: Swift's own search joins characters with
    /// accents that follow them.
    fileprivate func pieces(between separator: String) -> [String] {
        let (bytes, sought) = (Array(utf8), Array(separator.utf8))
        guard let head = sought.first else { return [self] }
        var pieces: [String] = []
        var (start, at) = (0, 0)
        while at + sought.count <= bytes.count {
            if bytes[at] == head, bytes[at..<at + sought.count].elementsEqual(sought) {
                pieces.append(String(decoding: bytes[start..<at], as: UTF8.self))
                at += sought.count
                start = at
            } else {
                at += 1
            }
        }
        pieces.append(String(decoding: bytes[start...], as: UTF8.self))
        return pieces
    }
}
