package import Foundation
import SCXInference

extension ChatFormat {
    private static let tokenNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]
    private static let largestFile = 64 << 20

    /// Reads a model's templates; nil when it has none.
    ///
    /// In a directory they are looked for where Hugging Face keeps them: `chat_template.jinja` (and
    /// `additional_chat_templates/tool_use.jinja`), then `chat_template.json`, then `tokenizer_config.json`. A GGUF file has
    /// them in its metadata.
    ///
    /// - Parameter directory: A directory, or a GGUF file.
    /// - Returns: The templates; nil where there are none.
    /// - Throws: `TemplateError` for a template that is damaged or asks for something unknown.
    package static func load(directory: URL) throws(TemplateError) -> ChatFormat? {
        if GGUFFile.isOne(directory.path) { return try load(file: directory.path) }
        let configuration = try json("tokenizer_config.json", in: directory) ?? .object([])
        let map = try json("special_tokens_map.json", in: directory) ?? .object([])
        let tokens = specialTokens(configuration, map)
        if let source = try file("chat_template.jinja", in: directory) {
            let toolFile = "additional_chat_templates/tool_use.jinja"
            let toolSource = try file(toolFile, in: directory)
            var toolTemplate: ChatTemplate?
            if let toolSource { toolTemplate = try ChatTemplate(source: toolSource, name: toolFile) }
            let template = try ChatTemplate(source: source, name: "chat_template.jinja")
            return ChatFormat(template: template, toolTemplate: toolTemplate, specialTokens: tokens)
        }
        let separate = try json("chat_template.json", in: directory)?["chat_template"]
        let place = separate == nil ? "tokenizer_config.json chat_template" : "chat_template.json"
        return try format(separate ?? configuration["chat_template"], tokens, place)
    }

    /// Reads the templates in a GGUF file's metadata.
    private static func load(file: String) throws(TemplateError) -> ChatFormat? {
        guard GGUFTokenizer.isIn(file) else { return nil }
        let configuration: JSON
        do throws(TokenizerError) { configuration = try GGUFTokenizer(path: file).configuration() } catch {
            throw TemplateError(template: "tokenizer.chat_template", line: 0, reason: error.description)
        }
        let tokens = specialTokens(configuration, .object([]))
        return try format(configuration["chat_template"], tokens, "tokenizer.chat_template")
    }

    /// The special tokens that templates may name.
    private static func specialTokens(_ configuration: JSON, _ map: JSON) -> [JSON.Member] {
        tokenNames.compactMap { name in
            guard let text = text(of: configuration[name]) ?? text(of: map[name]) else { return nil }
            return .init(name, .string(text))
        }
    }

    /// A template, or a list of them with their names; nil for none.
    private static func format(
        _ templates: JSON?, _ tokens: [JSON.Member], _ place: String
    ) throws(TemplateError) -> ChatFormat? {
        switch templates {
        case nil, .some(.null): return nil
        case .string(let source):
            return ChatFormat(template: try ChatTemplate(source: source, name: place), specialTokens: tokens)
        case .array(let entries):
            let template = try named("default", in: entries, place)
            let toolTemplate = try named("tool_use", in: entries, place)
            guard let main = template ?? toolTemplate else {
                throw TemplateError(template: place, line: 0, reason: "no template is named 'default'")
            }
            return ChatFormat(template: main, toolTemplate: toolTemplate, specialTokens: tokens)
        default:
            throw TemplateError(template: place, line: 0, reason: "neither a text nor a list of templates")
        }
    }

    private static func named(
        _ name: String, in entries: [JSON], _ place: String
    ) throws(TemplateError) -> ChatTemplate? {
        guard let source = entries.first(where: { $0["name"]?.string == name })?["template"]?.string else {
            return nil
        }
        return try ChatTemplate(source: source, name: "\(place) '\(name)'")
    }

    /// A special token is written as its text or as an object that holds it.
    private static func text(of token: JSON?) -> String? { token?.string ?? token?["content"]?.string }

    private static func json(_ name: String, in directory: URL) throws(TemplateError) -> JSON? {
        guard let text = try file(name, in: directory) else { return nil }
        do { return try JSON(parsing: text) } catch {
            throw TemplateError(template: name, line: 0, reason: error.description)
        }
    }

    private static func file(_ name: String, in directory: URL) throws(TemplateError) -> String? {
        let path = directory.appending(path: name)
        guard FileManager.default.fileExists(atPath: path.path) else { return nil }
        let handle: FileHandle
        let bytes: Data
        do {
            handle = try FileHandle(forReadingFrom: path)
            bytes = try handle.read(upToCount: largestFile + 1) ?? Data()
        } catch { throw TemplateError(template: name, line: 0, reason: "cannot be read") }
        guard bytes.count <= largestFile else {
            throw TemplateError(template: name, line: 0, reason: "larger than \(largestFile) bytes")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw TemplateError(template: name, line: 0, reason: "not UTF-8")
        }
        return text
    }
}
