/// A part of an answer as ``AnswerParser`` tells it: thoughts, text, or a piece of a call.
package enum AnswerEvent: Equatable, Sendable {
    /// A piece of what the model thought before it answered.
    case reasoning(String)
    /// A piece of the answer.
    case text(String)
    /// Calls are counted from 0; the id is the model's own, nil where its family writes none.
    case callBegan(index: Int, name: String, id: String?)
    /// A piece of the arguments' JSON text.
    case arguments(index: Int, String)
    case callEnded(index: Int)
}
