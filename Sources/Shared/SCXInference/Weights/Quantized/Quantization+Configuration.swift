extension Quantization {
    /// Reads `quantization_config`; nil where there is none.
    ///
    /// - Throws: ``CheckpointError`` for a method or an option that is not known, by name.
    init?(_ outer: ConfigurationReader) throws(CheckpointError) {
        guard let value = outer.value("quantization_config") else { return nil }
        guard value.object != nil else { throw outer.fault("quantization_config", "is not an object") }
        let reader = ConfigurationReader(path: outer.path, json: value, prefix: "quantization_config.")
        let implied = try Self.impliedMethod(reader)
        guard let method = try reader.text("quant_method") ?? implied else {
            throw reader.fault("quant_method", "is missing")
        }
        switch method {
        case "gptq": scheme = try Self.gptq(reader)
        case "awq": scheme = try Self.awq(reader)
        case "compressed-tensors": scheme = try Self.compressedTensors(reader)
        case "fp8": scheme = try Self.fp8(reader)
        case "bitsandbytes": scheme = try Self.bitsandbytes(reader)
        case "mxfp4":
            _ = try reader.flag("dequantize")
            scheme = .mxfp4
        default: throw reader.unsupported("quantization by '\(method)' (quant_method)", Self.methods)
        }
        _ = try reader.options(harmless: Self.harmless)
    }

    /// Files from before `quant_method` say it by their other fields.
    private static func impliedMethod(_ reader: ConfigurationReader) throws(CheckpointError) -> String? {
        let isBytes = try reader.flag("load_in_8bit")
        let isFour = try reader.flag("load_in_4bit")
        return isBytes == true || isFour == true ? "bitsandbytes" : nil
    }

    private static func groupSize(_ reader: ConfigurationReader) throws(CheckpointError) -> Int? {
        guard let value = reader.value("group_size") else { return nil }
        guard let size = value.int, size == -1 || (1...1 << 20).contains(size) else {
            throw reader.fault("group_size", "is neither -1 nor a number of inputs")
        }
        return size == -1 ? nil : size
    }

    private static func gptq(_ reader: ConfigurationReader) throws(CheckpointError) -> Scheme {
        guard let bits = try reader.size("bits", limit: 32) else { throw reader.fault("bits", "is missing") }
        guard [2, 3, 4, 8].contains(bits) else {
            throw reader.unsupported("GPTQ with \(bits) bits", "2, 3, 4, 8")
        }
        let format =
            try reader.text("checkpoint_format") ?? reader.ifAbsent("checkpoint_format", "gptq") ?? "gptq"
        let newer = try reader.text("format") ?? format
        guard ["gptq", "gptq_v2"].contains(format), newer == format else {
            throw reader.unsupported("GPTQ in the format '\(newer)' (checkpoint_format)", "gptq, gptq_v2")
        }
        guard try reader.flag("is_marlin_format") != true else {
            throw reader.unsupported("is_marlin_format", "gptq, gptq_v2")
        }
        let word = try reader.text("pack_dtype") ?? "int32"
        guard word == "int32" else { throw reader.unsupported("pack_dtype '\(word)'", "int32") }
        // Zero points and the order of the inputs are stored beside the codes, whatever these two say.
        _ = (try reader.flag("sym"), try reader.flag("desc_act"))
        return .gptq(bits: bits, groupSize: try groupSize(reader), zeroOffset: format == "gptq" ? 1 : 0)
    }

    private static func awq(_ reader: ConfigurationReader) throws(CheckpointError) -> Scheme {
        let bits = try reader.size("bits", limit: 32) ?? 4
        guard bits == 4 else { throw reader.unsupported("AWQ with \(bits) bits", "4") }
        let format = try reader.text("format")
        let version = try reader.text("version") ?? format ?? "gemm"
        guard version.lowercased() == "gemm" else {
            throw reader.unsupported("AWQ version '\(version)'", "gemm")
        }
        guard try reader.flag("zero_point") ?? true else {
            throw reader.unsupported("AWQ without zero points (zero_point)", "true")
        }
        return .awq(groupSize: try groupSize(reader))
    }

    private static func fp8(_ reader: ConfigurationReader) throws(CheckpointError) -> Scheme {
        for (field, known) in [
            ("fmt", ["e4m3"]), ("scale_fmt", ["float", "ue8m0"]), ("expert_dtype", ["fp8"]),
            ("activation_scheme", ["dynamic", "static"]),
        ] {
            if let text = try reader.text(field), !known.contains(text) {
                throw reader.unsupported(
                    "'\(text)' (quantization_config.\(field))", known.joined(separator: ", "))
            }
        }
        _ = try reader.flag("dequantize")
        guard
            let block = try block(reader, "weight_block_size")
                ?? reader.ifAbsent("weight_block_size", [128, 128])
        else { return .scaled(suffix: "weight_scale_inv", rows: nil, columns: nil) }
        return .scaled(suffix: "weight_scale_inv", rows: block[0], columns: block[1])
    }

    /// Two sizes: rows and columns.
    private static func block(_ reader: ConfigurationReader, _ field: String) throws(CheckpointError)
        -> [Int]?
    {
        guard let value = reader.value(field) else { return nil }
        let sizes = value.array?.compactMap(\.int) ?? []
        guard sizes.count == 2, sizes.allSatisfy({ (1...1 << 20).contains($0) }) else {
            throw reader.fault(field, "is not a list of two sizes")
        }
        return sizes
    }

    private static func bitsandbytes(_ reader: ConfigurationReader) throws(CheckpointError) -> Scheme {
        for field in ["load_in_4bit", "_load_in_4bit", "llm_int8_has_fp16_weight"] {
            guard try reader.flag(field) != true else {
                throw reader.unsupported("quantization_config.\(field)", "load_in_8bit")
            }
        }
        let old = try reader.flag("_load_in_8bit")
        guard try reader.flag("load_in_8bit") ?? old ?? false else {
            throw reader.fault("load_in_8bit", "is not true")
        }
        return .bytes
    }

    private static func compressedTensors(_ reader: ConfigurationReader) throws(CheckpointError) -> Scheme {
        for field in ["kv_cache_scheme", "sparsity_config", "transform_config"] {
            guard let value = reader.value(field), value.object?.isEmpty != true else { continue }
            if field == "sparsity_config", value["format"]?.string == "dense" { continue }
            throw reader.unsupported("quantization_config.\(field)", "checkpoints without it")
        }
        let status = try reader.text("quantization_status") ?? "compressed"
        guard ["compressed", "frozen"].contains(status) else {
            throw reader.unsupported("quantization_status '\(status)'", "compressed")
        }
        guard let groups = reader.value("config_groups")?.object, groups.count == 1 else {
            throw reader.unsupported("config_groups with other than one group", "one")
        }
        let group = ConfigurationReader(
            path: reader.path, json: groups[0].value,
            prefix: reader.prefix + "config_groups.\(groups[0].name).")
        guard groups[0].value.object != nil else { throw group.fault("weights", "is missing") }
        guard try group.texts("targets") ?? ["Linear"] == ["Linear"] else {
            throw reader.unsupported("targets other than Linear (config_groups)", "Linear")
        }
        guard let json = group.value("weights"), json.object != nil else {
            throw group.fault("weights", "is missing")
        }
        let own = try group.text("format")
        let format = try reader.text("format") ?? own ?? ""
        let result = try weights(
            ConfigurationReader(path: reader.path, json: json, prefix: group.prefix + "weights."),
            own ?? format)
        // What is done to activations is left out.
        _ = try group.options(harmless: ["input_activations"])
        return result
    }

    /// Reads what a group of compressed-tensors says about weights.
    private static func weights(_ reader: ConfigurationReader, _ format: String) throws(CheckpointError)
        -> Scheme
    {
        let bits = try reader.size("num_bits", limit: 32) ?? 8
        let type = try reader.text("type") ?? "int"
        let strategy = try reader.text("strategy") ?? "tensor"
        let size = try groupSize(reader)
        let shape = try block(reader, "block_structure")
        _ = try reader.flag("symmetric")
        if let value = reader.value("dynamic"), value.bool != false {
            throw reader.unsupported("dynamic weights", "false")
        }
        let order = try reader.text("actorder") ?? "weight"
        guard ["weight", "group", "static"].contains(order) else {
            throw reader.unsupported("actorder '\(order)'", "group, weight")
        }
        _ = try reader.options(harmless: ["observer", "observer_kwargs", "scale_dtype", "zp_dtype"])
        let isKnown =
            switch format {
            case "pack-quantized": type == "int" && [4, 8].contains(bits)
            case "int-quantized": type == "int" && bits == 8
            case "float-quantized": type == "float" && bits == 8
            case "naive-quantized": bits == 8
            default: false
            }
        guard isKnown else {
            throw reader.unsupported(
                "compressed-tensors '\(format)' of type \(type) with \(bits) bits",
                "pack-quantized (int, 4 or 8), int-quantized, float-quantized, naive-quantized (8)")
        }
        switch (format, strategy) {
        case ("pack-quantized", "group"):
            guard let size else { throw reader.fault("group_size", "is missing") }
            return .packed(bits: bits, groupSize: size)
        case ("pack-quantized", "channel"), ("pack-quantized", "tensor"):
            return .packed(bits: bits, groupSize: nil)
        case (_, "tensor"): return .scaled(suffix: "weight_scale", rows: nil, columns: nil)
        case (_, "channel"): return .scaled(suffix: "weight_scale", rows: 1, columns: nil)
        case (_, "group"):
            guard let size else { throw reader.fault("group_size", "is missing") }
            return .scaled(suffix: "weight_scale", rows: 1, columns: size)
        case (_, "block"):
            guard let shape else { throw reader.fault("block_structure", "is missing") }
            return .scaled(suffix: "weight_scale", rows: shape[0], columns: shape[1])
        default:
            throw reader.unsupported("strategy '\(strategy)'", "tensor, channel, group, block")
        }
    }

    /// Fields of the way to the codes, of kernels, and of which tensors are quantised, which the tensors say themselves.
    private static let harmless: Set<String> = [
        "backend", "batch_size", "block_name_to_quantize", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage",
        "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "cache_block_outputs", "damp_auto_increment",
        "damp_percent", "dataset", "do_fuse", "exllama_config", "fuse_max_seq_len",
        "global_compression_ratio",
        "ignore", "ignored_layers", "llm_int8_enable_fp32_cpu_offload", "llm_int8_skip_modules",
        "llm_int8_threshold", "lm_head", "max_input_length", "meta", "mse", "model_file_base_name",
        "model_name_or_path", "model_seqlen", "module_name_preceding_first_block",
        "modules_in_block_to_quantize",
        "modules_to_convert", "modules_to_fuse", "modules_to_not_convert", "pad_token_id", "provider",
        "quant_method", "quantizer", "run_compressed", "static_groups", "tokenizer", "true_sequential", "uri",
        "use_cuda_fp16", "use_exllama", "version", "weights_path",
    ]
}
