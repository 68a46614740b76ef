/// Why a chat template cannot be read or rendered.
///
/// Names the template and the line. Never holds a value of a variable: those are people's messages.
package struct TemplateError: Error, Equatable, Sendable, CustomStringConvertible {
    package let template: String
    /// Counted from 1; 0 when the fault has no place in the text.
    package let line: Int
    package let reason: String

    package var description: String {
        line > 0 ? "\(template) line \(line): \(reason)" : "\(template): \(reason)"
    }
}
