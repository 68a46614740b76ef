/// Finds the parts of a quantised tensor in the files and checks them.
struct QuantizedParts {
    let source: SafeTensorsSource
    /// The tensor's name as the model has it.
    let tensor: String
    /// What comes before the names of the parts.
    let stem: String
    /// The tensor's shape, `[rows, columns]` = `[outputs, inputs]`.
    let shape: [Int]

    // MARK: Parts

    private func has(_ suffix: String) -> Bool { source.locations[stem + suffix] != nil }

    private func part(
        _ suffix: String, _ types: [String], _ shapes: [[Int]]
    ) throws(CheckpointError) -> TensorSample {
        try part(named: stem + suffix, types, shapes)
    }

    /// A stored tensor with one of some types and shapes.
    private func part(
        named name: String, _ types: [String], _ shapes: [[Int]]
    ) throws(CheckpointError) -> TensorSample {
        guard let part = source.part(name) else { throw .missingTensor(path: source.path, tensor: name) }
        guard types.contains(part.type) else {
            throw .unsupported(
                path: part.file.path, what: "tensor '\(name)' with elements of type \(part.type)",
                supported: types.joined(separator: ", "))
        }
        guard shapes.contains(part.shape) else {
            throw .wrongShape(path: part.file.path, tensor: name, expected: shapes[0], found: part.shape)
        }
        return part
    }

    private static let floats = ["F32", "F16", "BF16"]

    /// Numbers of a part as float32.
    private func values(_ part: TensorSample) -> [Float] {
        guard let type = ElementType(rawValue: part.type) else {
            // Powers of two, by their exponents.
            return unsafe part.file.withUnsafeBytes(part.range) { bytes in
                unsafe bytes.map {
                    $0 == 255 ? .nan : Float(sign: .plus, exponent: Int($0) - 127, significand: 1)
                }
            }
        }
        return StoredTensor(
            name: part.name, type: type, shape: part.shape, file: part.file, range: part.range
        ).values()
    }

    /// 32-bit words of a part.
    private func words(_ part: TensorSample) -> [UInt32] {
        unsafe part.file.withUnsafeBytes(part.range) { bytes in
            (0..<part.range.count / 4).map {
                unsafe UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
            }
        }
    }

    private func stored(_ codes: TensorSample, _ rows: any QuantizedRows) -> StoredTensor {
        StoredTensor(
            name: tensor, type: .f32, shape: shape, file: codes.file, range: codes.range, quantized: rows)
    }

    private func fault(_ part: TensorSample, _ reason: String) -> CheckpointError {
        .malformedTensor(path: part.file.path, tensor: part.name, reason: reason)
    }

    /// For each column the group whose scale it has.
    private func groups(_ suffix: String, size: Int, count: Int) throws(CheckpointError) -> [Int32] {
        let columns = shape[1]
        guard has(suffix) else { return (0..<columns).map { Int32($0 / size) } }
        let part = try part(suffix, ["I32", "I64"], [[columns]])
        let words = words(part)
        let step = part.type == "I64" ? 2 : 1
        let indices = stride(from: 0, to: words.count, by: step).map { Int32(bitPattern: words[$0]) }
        // A file that says nothing of an order may do so by -1.
        if indices.allSatisfy({ $0 == -1 }) { return (0..<columns).map { Int32($0 / size) } }
        guard indices.allSatisfy({ $0 >= 0 && $0 < count }) else {
            throw fault(part, "names a group that is not among the \(count)")
        }
        return indices
    }

    /// Groups of a size among the columns; a last one may be smaller.
    private func count(of size: Int) -> Int { (shape[1] + size - 1) / size }

    // MARK: Schemes

    func gptq(bits: Int, groupSize: Int?, zeroOffset: Int) throws(CheckpointError) -> StoredTensor? {
        guard shape.count == 2, has("qweight") else { return nil }
        let (rows, columns, size) = (shape[0], shape[1], groupSize ?? shape[1])
        let (count, mask) = (count(of: size), UInt32(1) << UInt32(bits) - 1)
        let codes = try part("qweight", ["I32"], [[(columns * bits + 31) / 32, rows]])
        guard columns * bits % 32 == 0, rows * bits % 32 == 0 else {
            throw fault(codes, "has sizes that fill no whole words")
        }
        let scales = try part("scales", Self.floats, [[count, rows]])
        let packed = words(try part("qzeros", ["I32"], [[count, rows * bits / 32]]))
        var zeros = [Int16](repeating: 0, count: count * rows)
        for group in 0..<count {
            for row in 0..<rows {
                let code = bitField(row * bits, bits) { packed[group * (rows * bits / 32) + $0] }
                zeros[group * rows + row] = Int16((code + UInt32(zeroOffset)) & mask)
            }
        }
        return stored(
            codes,
            IntegerRows(
                file: codes.file, range: codes.range, layout: .wordsOfInputs(bits: bits), rows: rows,
                columns: columns, scales: values(scales), zeros: zeros,
                groups: try groups("g_idx", size: size, count: count)))
    }

    func awq(groupSize: Int?) throws(CheckpointError) -> StoredTensor? {
        guard shape.count == 2, has("qweight") else { return nil }
        let (rows, columns, size) = (shape[0], shape[1], groupSize ?? shape[1])
        let (count, words) = (count(of: size), rows / 8)
        let codes = try part("qweight", ["I32"], [[columns, words]])
        guard rows % 8 == 0 else { throw fault(codes, "has sizes that fill no whole words") }
        let scales = try part("scales", Self.floats, [[count, rows]])
        let packed = self.words(try part("qzeros", ["I32"], [[count, words]]))
        let zeros = (0..<count * rows).map { index in
            Int16(packed[index / 8] >> IntegerRows.shiftInWordOfOutputs(index % rows) & 15)
        }
        return stored(
            codes,
            IntegerRows(
                file: codes.file, range: codes.range, layout: .wordsOfOutputs, rows: rows, columns: columns,
                scales: values(scales), zeros: zeros, groups: (0..<columns).map { Int32($0 / size) }))
    }

    func packed(bits: Int, groupSize: Int?) throws(CheckpointError) -> StoredTensor? {
        guard shape.count == 2, has("weight_packed") else { return nil }
        let (rows, columns, size) = (shape[0], shape[1], groupSize ?? shape[1])
        let count = count(of: size)
        let perWord = 32 / bits
        let codes = try part("weight_packed", ["I32"], [[rows, (columns + perWord - 1) / perWord]])
        let part = try part(
            "weight_scale", Self.floats, [[rows, count]] + (groupSize == nil ? [[1], []] : []))
        let scales = values(part)
        let middle = 1 << (bits - 1)
        var zeros = [Int16](repeating: Int16(middle), count: rows * count)
        if has("weight_zero_point") {
            let point = try self.part(
                "weight_zero_point", ["I32", "I8"],
                [[(rows + perWord - 1) / perWord, count], [rows, count]])
            if point.type == "I32" {
                guard point.shape[0] == (rows + perWord - 1) / perWord else {
                    throw fault(point, "has one word for each row")
                }
                let packed = words(point)
                for row in 0..<rows {
                    for group in 0..<count {
                        let word = packed[row / perWord * count + group]
                        zeros[group * rows + row] = Int16(
                            word >> UInt32(row % perWord * bits) & UInt32(1 << bits - 1))
                    }
                }
            } else {
                guard point.shape[0] == rows else { throw fault(point, "has not one byte for each row") }
                unsafe point.file.withUnsafeBytes(point.range) { bytes in
                    for row in 0..<rows {
                        for group in 0..<count {
                            let zero = unsafe Int8(bitPattern: bytes[row * count + group])
                            zeros[group * rows + row] = Int16(middle) + Int16(zero)
                        }
                    }
                }
            }
        }
        var turned = [Float](repeating: scales[0], count: rows * count)
        if scales.count > 1 {
            for row in 0..<rows {
                for group in 0..<count { turned[group * rows + row] = scales[row * count + group] }
            }
        }
        return stored(
            codes,
            IntegerRows(
                file: codes.file, range: codes.range, layout: .rows(bits: bits), rows: rows, columns: columns,
                scales: turned, zeros: zeros, groups: try groups("weight_g_idx", size: size, count: count)))
    }

    func scaled(suffix: String, rows blockRows: Int?, columns blockColumns: Int?) throws(CheckpointError)
        -> StoredTensor?
    {
        guard shape.count == 2, let stored = source.part(tensor), ["I8", "F8_E4M3"].contains(stored.type)
        else {
            return nil
        }
        let codes = try part(named: tensor, ["I8", "F8_E4M3"], [shape])
        let (blockRows, blockColumns) = (blockRows ?? shape[0], blockColumns ?? shape[1])
        let grid = [(shape[0] + blockRows - 1) / blockRows, (shape[1] + blockColumns - 1) / blockColumns]
        var shapes = [grid]
        if grid[1] == 1 { shapes.append([grid[0]]) }
        if grid == [1, 1] { shapes.append([]) }
        let scales = try part(suffix, Self.floats + (codes.type == "I8" ? [] : ["F8_E8M0"]), shapes)
        var zeros: [Int8] = []
        if codes.type == "I8", has("weight_zero_point") {
            let point = try part("weight_zero_point", ["I8"], shapes)
            zeros = unsafe point.file.withUnsafeBytes(point.range) { bytes in
                unsafe bytes.map { Int8(bitPattern: $0) }
            }
        }
        return self.stored(
            codes,
            ScaledRows(
                file: codes.file, range: codes.range, isFloat: codes.type == "F8_E4M3", columns: shape[1],
                blockRows: blockRows, blockColumns: blockColumns, gridColumns: grid[1],
                scales: values(scales),
                zeros: zeros, factor: 1))
    }

    func bytes() throws(CheckpointError) -> StoredTensor? {
        guard shape.count == 2, source.part(tensor)?.type == "I8" else { return nil }
        let codes = try part(named: tensor, ["I8"], [shape])
        let scales = try part("SCB", ["F32"], [[shape[0]]])
        if has("weight_format") {
            // Zero stands for rows; the others are orders that some processors want.
            let format = try part("weight_format", ["U8"], [[], [1]])
            let isRows = unsafe format.file.withUnsafeBytes(format.range) { unsafe $0[0] == 0 }
            guard isRows else {
                throw .unsupported(
                    path: codes.file.path, what: "tensor '\(tensor)' whose weight_format is not rows",
                    supported: "0")
            }
        }
        return stored(
            codes,
            ScaledRows(
                file: codes.file, range: codes.range, isFloat: false, columns: shape[1], blockRows: 1,
                blockColumns: shape[1], gridColumns: 1, scales: values(scales), zeros: [], factor: 1 / 127))
    }

    func mxfp4() throws(CheckpointError) -> StoredTensor? {
        guard source.locations[tensor + "_blocks"] != nil, let columns = shape.last, columns % 32 == 0 else {
            return nil
        }
        let outer = shape.dropLast() + [columns / 32]
        let codes = try part(named: tensor + "_blocks", ["U8"], [outer + [16]])
        let scales = try part(named: tensor + "_scales", ["U8", "F8_E8M0"], [Array(outer)])
        return stored(
            codes,
            MicroscaledRows(
                file: codes.file, range: codes.range, scalesFile: scales.file, scales: scales.range,
                columns: columns))
    }
}
