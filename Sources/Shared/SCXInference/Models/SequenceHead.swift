#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The head of a model that scores whole sequences (`…ForSequenceClassification`): products over one pooled row of
/// hidden states, which the trusted side computes itself since they are small.
public struct SequenceHead: Equatable, Sendable {
    /// The row of hidden states with which the head begins.
    public enum Pooling: Equatable, Sendable {
        case first, mean, last
    }

    /// A product, and what follows it.
    public struct Layer: Equatable, Sendable {
        /// The name of the tensors before `.weight`, `[outputs, hiddenSize]`, and `.bias`, `[outputs]`.
        public var name: String
        /// Whether the model's prefix comes before the name.
        public var isInModel = false
        public var outputs: Int
        public var hasBias = true
        public var function = Function.none
        /// The name of a norm of the result, before `.weight` and `.bias`.
        public var norm: String?
    }

    /// The function of a layer's result.
    public enum Function: Equatable, Sendable {
        case none, tanh
        case activation(Activation)
    }

    /// What turns a label's logit into the score that is reported.
    public enum Score: Equatable, Sendable {
        case identity, sigmoid
    }

    public var pooling: Pooling
    /// All but the last have as many outputs as the model has channels.
    public var layers: [Layer]
    public var score: Score

    /// How many labels are scored.
    public var labels: Int { layers.last?.outputs ?? 0 }
}

extension DecoderConfiguration {
    /// Sets which heads the class in `architectures` has, where the family leaves it open.
    mutating func setHead(_ reader: ConfigurationReader) throws(CheckpointError) {
        // As published code of gte-Qwen2 reads it.
        if try reader.flag("is_causal") == false, isCausal {
            guard slidingWindows.allSatisfy({ $0 == nil }) else {
                throw reader.unsupported("is_causal: false with sliding windows", "one of them")
            }
            isCausal = false
        }
        // What attends to later tokens cannot generate one after the other.
        if !isCausal { hasHead = false }
        let architectures = try reader.texts("architectures") ?? []
        guard let architecture = architectures.first(where: { family.includes($0) }) else { return }
        if architecture != family.architecture { hasHead = false }
        guard architecture.hasSuffix("ForSequenceClassification") else {
            reader.ignore(["sentence_transformers", "sbert_ce_default_activation_function"])
            return
        }
        guard let labels = try reader.labelCount() else { return }
        var head = SequenceHead(
            pooling: .first, layers: [], score: try reader.score() ?? (labels == 1 ? .sigmoid : .identity))
        switch family {
        case .bert:
            head.layers = [
                .init(name: "pooler.dense", isInModel: true, outputs: hiddenSize, function: .tanh),
                .init(name: "classifier", outputs: labels),
            ]
        case .roberta, .xlmRoberta:
            head.layers = [
                .init(name: "classifier.dense", outputs: hiddenSize, function: .tanh),
                .init(name: "classifier.out_proj", outputs: labels),
            ]
        case .modernbert:
            switch try reader.text("classifier_pooling") ?? "cls" {
            case "cls": break
            case "mean": head.pooling = .mean
            case let other: throw reader.unsupported("classifier_pooling '\(other)'", "cls, mean")
            }
            var activationReader = reader
            activationReader.names["hidden_act"] = "classifier_activation"
            head.layers = [
                .init(
                    name: "head.dense", outputs: hiddenSize,
                    hasBias: try reader.flag("classifier_bias") ?? false,
                    function: .activation(try Activation(activationReader) ?? .gelu), norm: "head.norm"),
                .init(name: "classifier", outputs: labels),
            ]
        default:
            head.pooling = .last
            head.layers = [.init(name: "score", outputs: labels, hasBias: false)]
        }
        sequenceHead = head
    }
}

extension ModelFamily {
    /// Whether a class of this name has the family's blocks, and a head that can be computed or left out.
    func includes(_ name: String) -> Bool {
        if name == architecture { return true }
        switch self {
        case .bert, .roberta, .xlmRoberta, .modernbert:
            let stem = architecture.dropLast("Model".count)
            return ["ForSequenceClassification", "ForMaskedLM", "ForPreTraining"].contains {
                name == stem + $0
            }
        case .gpt2: return name == "GPT2Model"
        case .clipVision: return name == "CLIPVisionModel"
        case .siglip: return name == "SiglipForImageClassification"
        case .vit, .clip, .siglipVision, .llava, .gemma3Pictures: return false
        case .gemma3: return name == "Gemma3TextModel" || name == "Gemma3TextForSequenceClassification"
        default:
            let stem = architecture.dropLast("ForCausalLM".count)
            return name == stem + "Model" || name == stem + "ForSequenceClassification"
        }
    }
}

extension ConfigurationReader {
    /// How many labels the configuration names.
    func labelCount() throws(CheckpointError) -> Int? {
        let given = try size("num_labels", limit: 1 << 16)
        guard let names = value("id2label") else { return given ?? 2 }
        guard let count = names.object?.count, (1...1 << 16).contains(count) else {
            throw fault("id2label", "is not an object of labels")
        }
        return count
    }

    /// The function of scores that sentence-transformers has stored; nil when there is none.
    fileprivate func score() throws(CheckpointError) -> SequenceHead.Score? {
        let stored = value("sentence_transformers")?["activation_fn"]?.string
        let older = try text("sbert_ce_default_activation_function")
        switch (stored ?? older)?.split(separator: ".").last {
        case nil: return nil
        case "Identity": return .identity
        case "Sigmoid": return .sigmoid
        case let other?: throw unsupported("a score by '\(other)'", "Identity, Sigmoid")
        }
    }
}

extension SequenceHead {
    /// The tensors of the head.
    func tensors(_ configuration: DecoderConfiguration) -> [TensorPlan] {
        layers.flatMap { layer in
            let name = layer.fullName(configuration)
            var plans = [
                TensorPlan(name: name + ".weight", shape: [layer.outputs, configuration.hiddenSize])
            ]
            if layer.hasBias { plans.append(TensorPlan(name: name + ".bias", shape: [layer.outputs])) }
            if let norm = layer.norm {
                plans.append(TensorPlan(name: norm + ".weight", shape: [layer.outputs]))
                if configuration.norm == .layer(bias: true) {
                    plans.append(TensorPlan(name: norm + ".bias", shape: [layer.outputs]))
                }
            }
            return plans
        }
    }
}

extension SequenceHead.Layer {
    fileprivate func fullName(_ configuration: DecoderConfiguration) -> String {
        (isInModel ? configuration.layout.prefix : "") + name
    }
}

/// A ``SequenceHead`` with its weights, in float32.
public struct SequenceClassifier: Sendable {
    private struct Layer: Sendable {
        let dense: DenseLayer
        let norm: HiddenNorm?
    }

    public let head: SequenceHead
    private let layers: [Layer]

    /// Reads the head of a checkpoint.
    ///
    /// - Returns: Nil when the model has none.
    /// - Throws: ``CheckpointError`` when a tensor is missing or has another shape than the configuration says.
    public init?(_ checkpoint: Checkpoint) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        guard let head = configuration.sequenceHead else { return nil }
        self.head = head
        var layers: [Layer] = []
        for layer in head.layers {
            let name = layer.fullName(configuration)
            func vector(_ name: String) throws(CheckpointError) -> [Float] {
                try checkpoint.tensor(name, shape: [layer.outputs]).values()
            }
            let weight = try checkpoint.tensor(
                name + ".weight", shape: [layer.outputs, configuration.hiddenSize])
            var norm: HiddenNorm?
            if let stored = layer.norm {
                norm = HiddenNorm(
                    configuration, weight: try vector(stored + ".weight"),
                    bias: configuration.norm == .layer(bias: true) ? try vector(stored + ".bias") : [])
            }
            layers.append(
                Layer(
                    dense: DenseLayer(
                        weight: weight.values(), bias: layer.hasBias ? try vector(name + ".bias") : [],
                        inputs: configuration.hiddenSize, function: layer.function),
                    norm: norm))
        }
        self.layers = layers
    }

    /// Computes the logits of the labels.
    ///
    /// - Parameter pooled: `[hiddenSize]`, as ``SequenceHead/pooling`` says.
    /// - Returns: `[labels]`
    public func logits(_ pooled: [Float]) -> [Float] {
        layers.reduce(pooled) { values, layer in
            let result = layer.dense.apply(values)
            guard let norm = layer.norm else { return result }
            return floats(result.count) { norm.apply(result.span, into: &$0) }
        }
    }

    /// The score of each label, as sentence-transformers' `CrossEncoder` reports it.
    public func scores(_ pooled: [Float]) -> [Float] {
        logits(pooled).map { head.score == .sigmoid ? 1 / (1 + expf(-$0)) : $0 }
    }
}

/// A product with a matrix, a bias and a function, of single rows in float32.
public struct DenseLayer: Sendable {
    /// `[outputs, inputs]`, row-major.
    let weight: [Float]
    /// `[outputs]`, or empty.
    let bias: [Float]
    public let inputs: Int
    let function: SequenceHead.Function

    /// - Precondition: The matrix has whole rows, and the bias has an element for each, or none.
    public init(weight: [Float], bias: [Float], inputs: Int, function: SequenceHead.Function) {
        precondition(inputs > 0 && weight.count % inputs == 0, "DenseLayer: not whole rows")
        precondition(bias.isEmpty || bias.count == weight.count / inputs, "DenseLayer: bias")
        (self.weight, self.bias, self.inputs, self.function) = (weight, bias, inputs, function)
    }

    public var outputs: Int { weight.count / inputs }

    /// Computes a row.
    ///
    /// - Parameter row: `[inputs]`
    /// - Returns: `[outputs]`, summed in double precision.
    public func apply(_ row: [Float]) -> [Float] {
        precondition(row.count == inputs, "DenseLayer: not a row")
        let sums = (0..<outputs).map { output in
            var sum = bias.isEmpty ? 0 : Double(bias[output])
            for i in 0..<inputs { sum += Double(weight[output * inputs + i]) * Double(row[i]) }
            return Float(sum)
        }
        switch function {
        case .none: return sums
        case .tanh: return sums.map { tanhf($0) }
        case .activation(let activation):
            return floats(sums.count) {
                activate(sums.span, activation, isGated: false, into: &$0, features: sums.count)
            }
        }
    }
}
