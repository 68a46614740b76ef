import HTTPTypes
package import Logging
import SCXEngine
import SCXLink

/// Is told what a server does, and records it in metrics and in the log.
///
/// It is told names, counts and times, never what a request says.
package struct ServerObserver: Sendable {
    package let metrics: ServerMetrics
    package let logger: Logger

    package init(metrics: ServerMetrics, logger: Logger) { (self.metrics, self.logger) = (metrics, logger) }

    /// A response's head is on its way.
    func requestEnded(
        route: StaticString, method: HTTPRequest.Method, status: Int, key: String, after duration: Duration
    ) {
        metrics.requestEnded(route: route, status: status)
        var metadata: Logger.Metadata = [
            "route": "\(route)",
            "method": "\(RouteTable.methods.contains(method) ? method.rawValue : "other")",
            "status": "\(status)", "ms": "\(duration.milliseconds)",
        ]
        if !key.isEmpty { metadata["key"] = "\(key)" }
        logger.log(level: status >= 500 ? .warning : .info, "request", metadata: metadata)
    }

    /// An answer ended.
    func answerEnded(
        profile: String, _ reason: FinishReason, promptTokens: Int, answerTokens: Int, usage: SessionUsage,
        after duration: Duration
    ) {
        metrics.answerEnded(
            profile: profile, reason, promptTokens: promptTokens, generatedTokens: answerTokens, usage: usage,
            after: duration)
        logger.info(
            "answer",
            metadata: [
                "profile": "\(profile)", "reason": "\(reason.rawValue)", "prompt_tokens": "\(promptTokens)",
                "cached_tokens": "\(usage.cachedTokens)", "answer_tokens": "\(answerTokens)",
                "exchanges": "\(usage.traffic.exchanges)", "rebuilds": "\(usage.rebuilds)",
                "ms": "\(duration.milliseconds)",
            ])
    }

    /// An answer could not be computed.
    func answerFailed(profile: String, _ error: any Error) {
        logger.warning("answer failed", error: error, metadata: ["profile": "\(profile)"])
    }
}

extension Duration {
    /// Rounded to a tenth.
    fileprivate var milliseconds: Double { (self / .milliseconds(1) * 10).rounded() / 10 }
}
