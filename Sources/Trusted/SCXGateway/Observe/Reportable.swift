import SCXEncoding
import SCXEngine
import SCXLink

/// An error whose text may stand in a log: names and sizes, never values.
package protocol ReportableError: Error {
    var publicDescription: String { get }
}

extension ReportableError {
    package var publicDescription: String { "\(self)" }
}

extension AdmissionError: ReportableError {}
extension EngineError: ReportableError {}
extension LinkError: ReportableError {}
extension VaultError: ReportableError {}

extension APIError: ReportableError {
    /// Without the message, which is for the client.
    package var publicDescription: String { "\(status) \(code ?? type)" }
}

extension String {
    /// The error's own safe text, or only the name of its type.
    package init(reportable error: any Error) {
        self = (error as? any ReportableError)?.publicDescription ?? "\(type(of: error))"
    }
}
