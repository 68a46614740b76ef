/// A reader of bytes that somebody else made; it must accept or refuse any input without crashing.
///
/// An error that the reader throws is a refusal, and expected. A trap, a report of a sanitizer, and an input that takes
/// many seconds or more than a gigabyte of memory are findings.
package protocol FuzzTarget {
    /// The first inputs, from which others are made.
    var seeds: [[UInt8]] { get }
    /// Words of the reader's input language, which are inserted into inputs.
    var words: [String] { get }
    /// The length of the longest input, in bytes.
    var longest: Int { get }

    /// Reads one input.
    ///
    /// - Parameter input: The bytes to read.
    /// - Throws: The error with which the reader refuses the input; this is no finding.
    mutating func run(_ input: [UInt8]) throws
}

extension FuzzTarget {
    package var words: [String] { [] }
    package var longest: Int { 1 << 16 }
}

/// The readers to which ``FuzzCommand`` gives inputs.
package enum FuzzReader: String, CaseIterable {
    case json
    case schema
    case pattern
    case template
    case tokenizer
    case calls
    case configuration
    case safetensors
    case gguf
    case transcript
    case frames
    case answers
    case memory
    case yaml
    case http
    #if Network
        case evidence
    #endif
    /// A reader for tests that crashes on purpose, so that they can see how a finding is reported.
    case planted

    /// All readers except the one for tests.
    package static let all = allCases.filter { $0 != .planted }

    /// What the reader reads, for the command's help.
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
        case .gguf: "GGUF files, and their tokenizers"
        case .transcript: "recordings of a worker"
        case .frames: "what a client sends a worker"
        case .answers: "what a worker answers"
        case .memory: "rings in shared memory"
        case .yaml: "configuration files of scx serve"
        case .http: "requests to scx serve, by route"
        #if Network
            case .evidence: "evidence, certificates, policies and documents of attestation"
        #endif
        case .planted: "texts with a trap, for tests"
        }
    }

    /// Makes the reader ready for inputs.
    ///
    /// - Parameters:
    ///   - checkout: The project's folder, in which the reader finds its fixtures.
    ///   - folder: An empty folder for files that the reader writes.
    /// - Returns: The reader.
    /// - Throws: An error when a fixture cannot be read.
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
        case .gguf: try GGUFTarget(checkout, folder)
        case .transcript: try TranscriptTarget(checkout, folder)
        case .frames: try FramesTarget(checkout)
        case .answers: try AnswersTarget(checkout)
        case .memory: try MemoryTarget(folder)
        case .yaml: YAMLTarget(folder)
        case .http: try HTTPTarget(folder)
        #if Network
            case .evidence: try EvidenceTarget(checkout)
        #endif
        case .planted: PlantedTarget()
        }
    }
}
