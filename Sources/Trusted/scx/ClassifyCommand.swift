import ArgumentParser
import Foundation
import SCX
import SCXEngine
import SCXImages
import SCXInference

struct ClassifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "classify", abstract: "Say what pictures show.",
        discussion: """
            The model is an encoder of pictures with a head of labels, such as ViT. Prints file, probability and label, the \
            likeliest first.
            """)

    @OptionGroup var options: ModelOptions

    @Argument(help: "The pictures: PNG, JPEG or WebP files.")
    var files: [String]

    @Option(help: "Print so many labels of each picture.")
    var top = 3

    func validate() throws {
        guard top > 0 else { throw ValidationError("'--top \(top)' is not positive.") }
    }

    func run() throws {
        let model = try OpenModel(options)
        let engine = model.makeEngine()
        guard case .labels(let count)? = engine.pictureShape?.vector else {
            throw ValidationError("'\(model.name)' does not give labels of pictures.")
        }
        let names = try labels(model, count)
        let reader = try model.requirePictures()
        for file in files {
            let logits = try engine.vectors(of: try reader.pixels(of: file))[0]
            let largest = Double(logits.max() ?? 0)
            let weights = logits.map { exp(Double($0) - largest) }
            let sum = weights.reduce(0, +)
            for label in logits.indices.sorted(by: { weights[$0] > weights[$1] }).prefix(top) {
                print("\(file)\t\((weights[label] / sum * 10_000).rounded() / 10_000)\t\(names[label])")
            }
        }
    }

    /// The names of the labels, by the model's `config.json`; the number of one that has no name.
    private func labels(_ model: OpenModel, _ count: Int) throws -> [String] {
        let path = model.checkpoint.directory + "/config.json"
        let names = try JSON(file: path, limit: 16_000_000)["id2label"]
        return (0..<count).map { names?["\($0)"]?.string?.printable(longest: 200) ?? "label \($0)" }
    }
}

extension OpenModel {
    /// What reads pictures for the model.
    ///
    /// - Throws: `ValidationError` for a model that takes none, or `CheckpointError`.
    func requirePictures() throws -> PictureReader {
        guard let reader = pictures() else { throw ValidationError("'\(name)' takes no pictures.") }
        if let fault = reader.fault { throw fault }
        return reader
    }
}

extension PictureReader {
    /// What the model's encoder takes of a picture file.
    ///
    /// - Throws: ``FileError`` with the file's name.
    func pixels(of file: String) throws -> ImagePixels {
        let bytes = try readBytes(file, limit: PictureLimits().bytes)
        var room = PictureLimits().pixels
        do throws(ImageError) { return try pixels(ofFile: bytes, room: &room) } catch {
            throw FileError(description: "'\(file)': \(error)")
        }
    }
}
