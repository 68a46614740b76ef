/// How a checkpoint's matrices are quantised, as `quantization_config` says.
///
/// Which matrices are quantised, the tensors themselves say: one that is stored as plain numbers is read as such, whatever
/// the lists of exceptions say. The numbers that the codes stand for take part in all that follows as if they had been
/// stored; activations are never rounded on the way in, also where the publisher's own kernels would.
public struct Quantization: Equatable, Sendable {
    /// How the codes are stored.
    enum Scheme: Equatable, Sendable {
        /// GPTQ: `qweight` along the inputs, `qzeros`, `scales`, and with reordered inputs `g_idx`. The first version
        /// of the format stores zero points minus one.
        case gptq(bits: Int, groupSize: Int?, zeroOffset: Int)
        /// AWQ: `qweight` along the outputs, eight to a word in an order of their own, `qzeros` and `scales`.
        case awq(groupSize: Int?)
        /// compressed-tensors: `weight_packed` along the inputs, `weight_scale`, and perhaps `weight_zero_point` and
        /// `weight_g_idx`.
        case packed(bits: Int, groupSize: Int?)
        /// `weight` in eight bits, integers or E4M3, and a tensor of scales, by this suffix, for parts of the rows and
        /// columns; nil for all of them.
        case scaled(suffix: String, rows: Int?, columns: Int?)
        /// bitsandbytes: `weight` as bytes and `SCB`, 127 times each row's scale.
        case bytes
        /// Tensors with the suffixes `_blocks` and `_scales`, 32 numbers of E2M1 to a scale.
        case mxfp4
    }

    let scheme: Scheme

    /// The names of the methods, for errors.
    static let methods = "awq, bitsandbytes (8 bits), compressed-tensors, fp8, gptq, mxfp4"
}

extension Quantization {
    /// The stored tensors of which a tensor is made up, its own name included.
    func parts(of name: String, in source: SafeTensorsSource) -> [String] {
        let stem = Self.stem(name)
        var names = [name]
        switch scheme {
        case .gptq, .awq: names += ["qweight", "qzeros", "scales", "g_idx"].map { stem + $0 }
        case .packed:
            names += ["weight_packed", "weight_scale", "weight_zero_point", "weight_g_idx", "weight_shape"]
                .map { stem + $0 }
        case .scaled(let suffix, _, _):
            names += [suffix, "weight_zero_point", "input_scale", "input_zero_point", "activation_scale"].map
            {
                stem + $0
            }
        case .bytes: names += ["SCB", "weight_format"].map { stem + $0 }
        case .mxfp4: names += [name + "_blocks", name + "_scales"]
        }
        return names.filter { $0 == name || source.locations[$0] != nil }
    }

    /// `a.b.` of `a.b.weight`.
    private static func stem(_ name: String) -> String {
        name.hasSuffix(".weight") ? String(name.dropLast(6)) : name + "."
    }

    /// A tensor whose stored form is quantised; nil where it is not, so that it is read as it is.
    ///
    /// - Parameters:
    ///   - name: The name of the tensor as the model has it.
    ///   - shape: Its shape.
    ///   - source: The files.
    /// - Returns: The tensor, or nil.
    /// - Throws: ``CheckpointError`` when a part is missing or has another shape or type.
    func tensor(
        _ name: String, shape: [Int], in source: SafeTensorsSource
    ) throws(CheckpointError) -> StoredTensor? {
        let parts = QuantizedParts(source: source, tensor: name, stem: Self.stem(name), shape: shape)
        switch scheme {
        case .gptq(let bits, let size, let offset):
            return try parts.gptq(bits: bits, groupSize: size, zeroOffset: offset)
        case .awq(let size): return try parts.awq(groupSize: size)
        case .packed(let bits, let size): return try parts.packed(bits: bits, groupSize: size)
        case .scaled(let suffix, let rows, let columns):
            return try parts.scaled(suffix: suffix, rows: rows, columns: columns)
        case .bytes: return try parts.bytes()
        case .mxfp4: return try parts.mxfp4()
        }
    }
}
