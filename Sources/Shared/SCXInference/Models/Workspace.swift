/// Rows of float32 that keep their memory when they shrink, so that a step of generation allocates nothing.
///
/// It is `@safe` because the pointer cannot leave it: access is by spans whose lifetime the compiler ties to this
/// value's.
@safe
public struct RowBuffer: ~Copyable, @unchecked Sendable {
    private var storage: UnsafeMutableBufferPointer<Float>
    /// Elements in use.
    public private(set) var count = 0

    public init() { unsafe storage = .allocate(capacity: 0) }

    /// Sets the number of elements; their values are undefined until they are written.
    public mutating func resize(to newCount: Int) {
        precondition(newCount >= 0, "RowBuffer: negative count")
        if unsafe newCount > storage.count {
            unsafe storage.deallocate()
            unsafe storage = .allocate(capacity: newCount)
            unsafe storage.initialize(repeating: 0)
        }
        count = newCount
    }

    public var span: Span<Float> {
        @_lifetime(borrow self) get {
            let span = unsafe Span(_unsafeElements: UnsafeBufferPointer(rebasing: storage[..<count]))
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    public var mutableSpan: MutableSpan<Float> {
        @_lifetime(&self) mutating get {
            let span = unsafe MutableSpan(
                _unsafeElements: UnsafeMutableBufferPointer(rebasing: storage[..<count]))
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    deinit { unsafe storage.deallocate() }
}

/// Scratch memory of a forward pass, which is kept for the next one.
public struct Workspace: ~Copyable, Sendable {
    /// After a norm, `[tokens, hidden]`.
    var normed = RowBuffer()
    /// Queries, keys and values of each token, `[tokens, (heads + 2 · keyValueHeads) · headSize]`.
    var queryKeyValue = RowBuffer()
    /// The queries of latent attention, `[tokens, heads · querySize]`.
    var queries = RowBuffer()
    /// For each head its query against the latents, or the attended latent, `[tokens, heads · rank]`.
    var latents = RowBuffer()
    /// Queries, keys and values of latent attention, `[tokens, (heads + 2) · headSize]`.
    var attentionRows = RowBuffer()
    /// The result of attention, `[tokens, heads · headSize]`.
    var attended = RowBuffer()
    /// What a site adds to the residual stream, `[tokens, hidden]`.
    var update = RowBuffer()
    /// Gate and up of each token, `[tokens, 2 · feedForward]`.
    var gateUp = RowBuffer()
    /// After the activation, `[tokens, feedForward]`.
    var activated = RowBuffer()
    /// The inputs and results of one expert's rows, `[rows, hidden]`.
    var expertRows = RowBuffer()
    /// For each block with experts those that its rows took last, if somebody wants to know; nil otherwise.
    public var recordedRoutes: [Int: ExpertRoutes]?

    public init() {}
}
