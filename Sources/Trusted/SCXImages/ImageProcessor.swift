package import SCXInference

/// What is done to a picture before a model's tower takes it, as the model's directory says.
///
/// The steps and their arithmetic are those of the image processors of transformers 5.24 with PIL
/// (`image_processing_backends.PilBackend`), which it takes where torchvision is not installed:
///
/// 1. LLaVA may pad the picture to a square;
/// 2. resize it, which gives bytes again;
/// 3. cut out its middle, or pad with zeros what is too small;
/// 4. multiply by `rescale_factor` in float64 and round to float32;
/// 5. subtract the mean and divide by the deviation in float32.
package struct ImageProcessor: Equatable, Sendable {
    /// Whose processor it is; they differ in their defaults, and in steps that only some have.
    package enum Kind: String, Sendable, CaseIterable {
        case vit = "ViTImageProcessor"
        case clip = "CLIPImageProcessor"
        case siglip = "SiglipImageProcessor"
        case llava = "LlavaImageProcessor"
        case gemma3 = "Gemma3ImageProcessor"
    }

    /// To which size a picture is resized.
    package enum Size: Equatable, Sendable {
        case exact(height: Int, width: Int)
        /// The shorter side gets this length, and the other one keeps the proportion.
        case shortestEdge(Int)
    }

    package let kind: Kind
    /// The size to resize to; nil where pictures stay as they are.
    package let size: Size?
    /// The filter, by PIL's numbers.
    package let resample: Int
    /// Height and width of what is cut out; nil where nothing is.
    package let crop: [Int]?
    /// The colour in which a picture is padded to a square; nil where it is not.
    package let squareColour: [UInt8]?
    /// The value of each byte of each channel, [3, 256].
    let table: [Float]

    /// Rows and columns of every picture that comes out; nil where they depend on the picture that comes in.
    package var result: (height: Int, width: Int)? {
        if let crop { return (crop[0], crop[1]) }
        if case .exact(let height, let width) = size { return (height, width) }
        return nil
    }

    /// The longest side that a configuration may ask for.
    static let sideLimit = 4_096
    /// The most pixels that a picture may be resized to.
    static let resizedLimit = 16 << 20

    /// Reads `image_processor` of `processor_config.json`, or `preprocessor_config.json`.
    ///
    /// - Parameter directory: The model's directory.
    /// - Throws: ``CheckpointError`` that names the file and the field.
    package init(directory: String) throws(CheckpointError) {
        let model = try ImageOptions(directory: directory, name: "config.json")
        var options = try ImageOptions(directory: directory, name: "processor_config.json")?
            .object("image_processor")
        if options == nil {
            options = try ImageOptions(directory: directory, name: "preprocessor_config.json")
        }
        guard let options else {
            throw .missingFile(
                directory: directory, name: "preprocessor_config.json",
                hint: "it says how the model takes pictures; download it with the model")
        }
        try self.init(options, modelType: try model?.text("model_type"))
    }

    /// Reads the fields of such a file.
    init(_ options: ImageOptions, modelType: String?) throws(CheckpointError) {
        let kind = try Kind(options, modelType: modelType)
        self.kind = kind
        try options.refuseOthers(than: Self.read.union(Self.neutral))

        let isResized = try options.flag("do_resize") ?? true
        let size = try Size(options, kind)
        self.size = isResized ? size : nil
        let resample = try options.integer("resample", 0...5) ?? kind.resample
        self.resample = resample

        let crops = try options.flag("do_center_crop") ?? kind.crops
        let crop = try Self.crop(options)
        guard kind != .gemma3 || !crops else {
            throw options.unsupported("do_center_crop of \(kind.rawValue)", "false")
        }
        self.crop = crops ? crop ?? (kind.crops ? [224, 224] : nil) : nil
        guard !crops || self.crop != nil else { throw options.fault("crop_size", "is missing") }

        let isRescaled = try options.flag("do_rescale") ?? true
        let factor =
            try options.value("rescale_factor").map { value throws(CheckpointError) in
                try options.number("rescale_factor", of: value)
            } ?? 1.0 / 255
        let isNormalised = try options.flag("do_normalize") ?? true
        let mean = try options.channels("image_mean") ?? kind.mean
        let deviation = try options.channels("image_std") ?? kind.deviation
        guard deviation.allSatisfy({ Float($0) != 0 }) else { throw options.fault("image_std", "has a zero") }

        let pads = try options.flag("do_pad") ?? false
        guard !pads || kind == .llava else {
            throw options.unsupported("do_pad of \(kind.rawValue)", "false")
        }
        if pads {
            guard mean.allSatisfy({ (0...1).contains($0) }) else {
                throw options.fault("image_mean", "is no colour between 0 and 1, which do_pad needs")
            }
            squareColour = mean.map { UInt8($0 * 255) }
        } else {
            squareColour = nil
        }
        guard try options.flag("do_pan_and_scan") != true else {
            throw options.unsupported("do_pan_and_scan", "false")
        }

        var table: [Float] = []
        for channel in 0..<3 {
            for byte in 0..<256 {
                var value = isRescaled ? Float(Double(byte) * factor) : Float(byte)
                if isNormalised { value = (value - Float(mean[channel])) / Float(deviation[channel]) }
                table.append(value)
            }
        }
        guard table.allSatisfy(\.isFinite) else {
            throw options.fault("image_std", "is so small that pictures get values that are not finite")
        }
        self.table = table
    }

    /// Fields that are read.
    private static let read: Set<String> = [
        "crop_size", "default_to_square", "do_center_crop", "do_normalize", "do_pad", "do_pan_and_scan",
        "do_rescale", "do_resize", "feature_extractor_type", "image_mean", "image_processor_type",
        "image_std",
        "resample", "rescale_factor", "size", "use_square_size",
    ]
    /// Fields that change nothing here: names of classes, forms of Python's arrays, parts of `do_pan_and_scan`, which
    /// is off, the colours of a picture, which always has three, and a size that only `do_pad` of others uses.
    private static let neutral: Set<String> = [
        "_valid_processor_keys", "auto_map", "data_format", "device", "disable_grouping", "do_convert_rgb",
        "image_seq_length", "input_data_format", "pad_size", "pan_and_scan_max_num_crops",
        "pan_and_scan_min_crop_size", "pan_and_scan_min_ratio_to_activate", "processor_class",
        "return_tensors",
    ]

    private static func crop(_ options: ImageOptions) throws(CheckpointError) -> [Int]? {
        guard let value = options.value("crop_size") else { return nil }
        guard value.object == nil else {
            guard let fields = try options.object("crop_size") else { return nil }
            guard let height = try fields.integer("height", 1...sideLimit),
                let width = try fields.integer("width", 1...sideLimit), value.object?.count == 2
            else { throw options.fault("crop_size", "does not have height and width alone") }
            return [height, width]
        }
        return try Size.sides(options, "crop_size", value)
    }
}

extension ImageProcessor.Kind {
    /// Finds the kind by the class's name, or by the model's type.
    fileprivate init(_ options: ImageOptions, modelType: String?) throws(CheckpointError) {
        var name = try options.text("image_processor_type")
        if name == nil { name = try options.text("feature_extractor_type") }
        if name == nil {
            name =
                switch modelType {
                case "vit": Self.vit.rawValue
                case "clip", "clip_vision_model": Self.clip.rawValue
                case "siglip", "siglip_vision_model": Self.siglip.rawValue
                case "llava": Self.llava.rawValue
                case "gemma3": Self.gemma3.rawValue
                default: nil
                }
        }
        let all = Self.allCases.map(\.rawValue).joined(separator: ", ")
        guard let name else { throw options.fault("image_processor_type", "is missing (supported: \(all))") }
        // Older files name the same classes by what they were called, or with their libraries at the end.
        var base = name
        for (ending, new) in [("Fast", ""), ("Pil", ""), ("FeatureExtractor", "ImageProcessor")]
        where base.hasSuffix(ending) {
            base = base.dropLast(ending.count) + new
        }
        guard let kind = Self(rawValue: base) else {
            throw options.unsupported("image processor '\(name)'", all)
        }
        self = kind
    }

    /// Whether an integer as size means both sides, not the shorter one.
    fileprivate var takesSquares: Bool { self == .vit || self == .gemma3 }

    fileprivate var size: ImageProcessor.Size {
        switch self {
        case .vit, .siglip, .gemma3: .exact(height: 224, width: 224)
        case .clip, .llava: .shortestEdge(224)
        }
    }

    /// Bilinear or bicubic.
    fileprivate var resample: Int { self == .vit || self == .gemma3 ? 2 : 3 }

    fileprivate var crops: Bool { self == .clip || self == .llava }

    fileprivate var mean: [Double] {
        self == .clip || self == .llava ? [0.48145466, 0.4578275, 0.40821073] : [0.5, 0.5, 0.5]
    }

    fileprivate var deviation: [Double] {
        self == .clip || self == .llava ? [0.26862954, 0.26130258, 0.27577711] : [0.5, 0.5, 0.5]
    }
}

extension ImageProcessor.Size {
    /// Reads `size`: an object, an integer, or a list of height and width.
    fileprivate init(_ options: ImageOptions, _ kind: ImageProcessor.Kind) throws(CheckpointError) {
        if kind == .clip, try options.flag("use_square_size") == true {
            self = .exact(height: 224, width: 224)
            return
        }
        let isSquare = try options.flag("default_to_square") ?? kind.takesSquares
        guard let value = options.value("size") else {
            self = kind.size
            return
        }
        if let fields = value.object {
            let nested = try ImageOptions(path: options.path, json: value, prefix: "\(options.prefix)size.")
            let limit = 1...ImageProcessor.sideLimit
            switch Set(fields.map(\.name)) {
            case ["height", "width"]:
                guard let height = try nested.integer("height", limit),
                    let width = try nested.integer("width", limit)
                else { throw options.fault("size", "has no height or no width") }
                self = .exact(height: height, width: width)
            case ["shortest_edge"]:
                guard let edge = try nested.integer("shortest_edge", limit) else {
                    throw options.fault("size", "has no length")
                }
                self = .shortestEdge(edge)
            default:
                throw options.unsupported(
                    "size of \(fields.map(\.name).joined(separator: ", "))", "height and width, shortest_edge"
                )
            }
            return
        }
        if !isSquare, value.array == nil, let edge = try options.integer("size", 1...ImageProcessor.sideLimit)
        {
            self = .shortestEdge(edge)
            return
        }
        let sides = try Self.sides(options, "size", value)
        self = .exact(height: sides[0], width: sides[1])
    }

    /// Height and width from a list of both, or from one integer for both.
    fileprivate static func sides(
        _ options: ImageOptions, _ field: String, _ value: JSON
    ) throws(CheckpointError) -> [Int] {
        let values = value.array ?? [value, value]
        let sides = values.compactMap(\.int).filter { (1...ImageProcessor.sideLimit).contains($0) }
        guard values.count == 2, sides.count == 2 else {
            throw options.fault(
                field,
                "is neither an integer, a list of height and width, nor an object of them, in "
                    + "1…\(ImageProcessor.sideLimit)")
        }
        return sides
    }
}
