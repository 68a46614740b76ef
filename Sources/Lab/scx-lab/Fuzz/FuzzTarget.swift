/// A reader of bytes that somebody else made, which must refuse or take whatever it gets.
///
/// Errors are what a reader should throw. A trap, a report of a sanitizer, an input that takes seconds, or one that takes
/// hundreds of megabytes is a finding.
package protocol FuzzTarget {
    /// Inputs to begin with.
    var seeds: [[UInt8]] { get }
    /// Words that inputs of this kind are made of.
    var words: [String] { get }
    /// The longest input that is tried, in bytes.
    var longest: Int { get }

    /// Reads an input.
    ///
    /// - Parameter input: The bytes of a stranger.
    /// - Throws: What the reader found wrong, which is no finding.
    mutating func run(_ input: [UInt8]) throws
}

extension FuzzTarget {
    package var words: [String] { [] }
    package var longest: Int { 1 << 16 }
}

/// The readers that ``FuzzCommand`` tries.
package enum FuzzReader: String, CaseIterable {
    case json
    case schema
    case pattern
    case template
    case tokenizer
    case calls
    case configuration
    case safetensors
    case transcript
    case frames
    case answers
    case memory
    case yaml
    case http
    /// Not a reader of the project: it fails on purpose, so that tests can see what a finding looks like.
    case planted

    /// Those that the project has.
    package static let all = allCases.filter { $0 != .planted }

    /// What is read.
    var summary: String {
        switch self {
        case .json: "JSON texts"
        case .schema: "JSON schemas that answers must follow"
        case .pattern: "regular expressions in schemas"
        case .template: "chat templates"
        case .tokenizer: "tokenizer.json files, and their patterns"
        case .calls: "answers with tool calls"
        case .configuration: "config.json files"
        case .safetensors: "safetensors files"
        case .transcript: "recordings of a worker"
        case .frames: "what a client sends a worker"
        case .answers: "what a worker answers"
        case .memory: "rings in shared memory"
        case .yaml: "configuration files of scx serve"
        case .http: "requests to scx serve, by route"
        case .planted: "texts with a trap, for tests"
        }
    }

    /// Prepares the reader.
    ///
    /// - Parameters:
    ///   - checkout: The project's folder, for its fixtures.
    ///   - folder: An empty folder for files that the reader needs.
    /// - Returns: The reader.
    /// - Throws: When a fixture cannot be read.
    package func target(checkout: String, folder: String) throws -> any FuzzTarget {
        switch self {
        case .json: JSONTarget(checkout)
        case .schema: try SchemaTarget(checkout)
        case .pattern: try PatternTarget(checkout)
        case .template: try TemplateTarget(checkout)
        case .tokenizer: try TokenizerTarget(checkout)
        case .calls: CallsTarget()
        case .configuration: try ConfigurationTarget(checkout)
        case .safetensors: try SafeTensorsTarget(checkout, folder)
        case .transcript: try TranscriptTarget(checkout, folder)
        case .frames: try FramesTarget(checkout)
        case .answers: try AnswersTarget(checkout)
        case .memory: try MemoryTarget(folder)
        case .yaml: YAMLTarget(folder)
        case .http: try HTTPTarget(folder)
        case .planted: PlantedTarget()
        }
    }
}
