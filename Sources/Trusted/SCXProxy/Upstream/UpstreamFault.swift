package import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why a connection could not be made or used, in one line; says nothing of evidence.
package struct UpstreamFault: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }

    /// The fault that an error of NIO's is.
    init(_ error: any Error) {
        switch error {
        case let error as UpstreamFault: self = error
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first {
                self.init(first.error)
            } else {
                self.init("there is no such host")
            }
        case is SocketAddressError: self.init("there is no such host")
        case ChannelError.connectTimeout: self.init("it does not answer")
        case let error as IOError: self.init("\(error)")
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            self.init("TLS 1.3 was not agreed on, or broke")
        case is HTTPParserError: self.init("it does not speak HTTP")
        case is CancellationError: self.init("it was not waited for")
        default: self.init("the connection broke (\(type(of: error)))")
        }
    }
}

/// How long a server may take until it is verified.
package struct UpstreamTimes: Sendable {
    /// To accept a connection.
    package var connect = TimeAmount.seconds(10)
    /// To agree on TLS.
    package var handshake = TimeAmount.seconds(10)
    /// To hand out its document, for which its processor signs a report.
    package var document = TimeAmount.seconds(30)

    package init() {}
}
