import SCXEncoding
package import SCXEngine
import SCXLink
package import SCXProfiles
import Synchronization

/// What the server counts, for Prometheus.
///
/// A label's value is never a client's text: routes are literals of the program, profiles and the model's name are the
/// server's own.
package final class ServerMetrics: Sendable {
    /// The content type of ``text(_:)``.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private enum Metric: Int, CaseIterable {
        case requests, promptTokens, generatedTokens, queriedTokens, cachedTokens, answers, cancelled
        case firstToken, nextToken, duration, queue
        case exchanges, bytesSent, bytesReceived, reconnects, rebuilds
        case running, waiting, kept, sealed, restored, lost
        case padsDirect, padsPeer, padsBanked, padsStalled, refused, computedHere
        case drafts, proposed, accepted

        var family: MetricFamily {
            let profile = [MetricFamily.hiddenLabel]
            let seconds = MetricFamily.Kind.histogram(ServerMetrics.seconds)
            return switch self {
            case .requests:
                MetricFamily(
                    "scx_requests_total", .counter, "Requests by route and status.",
                    labels: ["route", "status"])
            case .promptTokens:
                MetricFamily(
                    "scx_prompt_tokens_total", .counter, "Tokens of prompts.", labels: profile,
                    aliases: ["vllm:prompt_tokens_total"])
            case .generatedTokens:
                MetricFamily(
                    "scx_generation_tokens_total", .counter, "Tokens of answers.", labels: profile,
                    aliases: ["vllm:generation_tokens_total"])
            case .queriedTokens:
                MetricFamily(
                    "scx_prefix_cache_queries_total", .counter,
                    "Tokens of prompts that were looked for among those computed before.", labels: profile,
                    aliases: ["vllm:prefix_cache_queries_total"])
            case .cachedTokens:
                MetricFamily(
                    "scx_cached_tokens_total", .counter, "Tokens of prompts that had been computed before.",
                    labels: profile, aliases: ["vllm:prefix_cache_hits_total"])
            case .answers:
                MetricFamily(
                    "scx_answers_total", .counter, "Answers by why they ended.",
                    labels: profile + ["finished_reason"], aliases: ["vllm:request_success_total"])
            case .cancelled:
                MetricFamily(
                    "scx_requests_cancelled_total", .counter, "Answers that nobody waited for to their end.",
                    labels: profile)
            case .firstToken:
                MetricFamily(
                    "scx_time_to_first_token_seconds", seconds, "From a request to its first token.",
                    labels: profile, aliases: ["vllm:time_to_first_token_seconds"])
            case .nextToken:
                MetricFamily(
                    "scx_time_between_tokens_seconds", seconds, "From a token to the next of its answer.",
                    labels: profile,
                    aliases: ["vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds"])
            case .duration:
                MetricFamily(
                    "scx_request_duration_seconds", seconds, "From a request to the end of its answer.",
                    labels: profile, aliases: ["vllm:e2e_request_latency_seconds"])
            case .queue:
                MetricFamily(
                    "scx_queue_time_seconds", seconds, "From a request to the first work on it.",
                    labels: profile, aliases: ["vllm:request_queue_time_seconds"])
            case .exchanges:
                MetricFamily(
                    "scx_exchanges_total", .counter, "Exchanges with the worker that answers took part in.",
                    labels: profile)
            case .bytesSent:
                MetricFamily(
                    "scx_bytes_sent_total", .counter, "Bytes of tensors that went to the worker.",
                    labels: profile)
            case .bytesReceived:
                MetricFamily(
                    "scx_bytes_received_total", .counter, "Bytes of tensors that came from the worker.",
                    labels: profile)
            case .reconnects:
                MetricFamily(
                    "scx_worker_reconnects_total", .counter, "Connections to a worker after the first.",
                    labels: profile)
            case .rebuilds:
                MetricFamily(
                    "scx_session_rebuilds_total", .counter,
                    "Sessions computed again from their beginning because a step with them had failed.",
                    labels: profile)
            case .padsDirect:
                MetricFamily(
                    "scx_pads_direct_total", .counter, "Pads of rows that this side multiplied.",
                    labels: profile)
            case .padsPeer:
                MetricFamily(
                    "scx_pads_peer_total", .counter, "Pads of rows that a peer multiplied.", labels: profile)
            case .padsBanked:
                MetricFamily(
                    "scx_pads_banked_total", .counter,
                    "Pads of rows that were prepared when they were needed.",
                    labels: profile)
            case .padsStalled:
                MetricFamily(
                    "scx_pads_stalled_seconds_total", .counter, "How long rows waited for pads.",
                    labels: profile)
            case .refused:
                MetricFamily(
                    "scx_products_refused_total", .counter, "Answers that were not the product asked for.",
                    labels: profile)
            case .computedHere:
                MetricFamily(
                    "scx_rows_computed_here_total", .counter,
                    "Rows of products that no worker gave and this side computed.", labels: profile)
            case .running:
                MetricFamily(
                    "scx_requests_running", .gauge, "Requests that are computed.", labels: profile,
                    aliases: ["vllm:num_requests_running"])
            case .waiting:
                MetricFamily(
                    "scx_requests_waiting", .gauge, "Requests that wait for others to end.", labels: profile,
                    aliases: ["vllm:num_requests_waiting"])
            case .kept:
                MetricFamily(
                    "scx_sessions_kept", .gauge, "Finished sessions that may be continued.", labels: profile)
            case .sealed:
                MetricFamily(
                    "scx_sessions_sealed_total", .counter, "Idle sessions that were sealed on disk.",
                    labels: profile)
            case .restored:
                MetricFamily(
                    "scx_sessions_restored_total", .counter, "Sessions that came back from disk.",
                    labels: profile)
            case .lost:
                MetricFamily(
                    "scx_sessions_lost_total", .counter,
                    "Sealed sessions that could not be opened again and were computed anew.", labels: profile)
            case .drafts:
                MetricFamily(
                    "scx_drafts_total", .counter, "Steps of answers that had a draft.", labels: profile,
                    aliases: ["vllm:spec_decode_num_drafts_total"])
            case .proposed:
                MetricFamily(
                    "scx_draft_tokens_total", .counter, "Tokens that were drafted.", labels: profile,
                    aliases: ["vllm:spec_decode_num_draft_tokens_total"])
            case .accepted:
                MetricFamily(
                    "scx_accepted_tokens_total", .counter, "Drafted tokens that were then drawn.",
                    labels: profile, aliases: ["vllm:spec_decode_num_accepted_tokens_total"])
            }
        }
    }

    /// Bounds of all durations: from a token of a small model to a long answer of a large one.
    static let seconds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40, 80, 160,
        320, 640,
    ]

    private let model: String
    private let families: Mutex<[MetricFamily]>

    /// Starts counting at zero.
    ///
    /// - Parameters:
    ///   - model: The name that the server answers under.
    ///   - profiles: Those that it serves, which have values from the beginning.
    package init(model: String, profiles: [String]) {
        self.model = model
        var families = Metric.allCases.map(\.family)
        for index in families.indices where families[index].labels == [MetricFamily.hiddenLabel] {
            if case .histogram = families[index].kind { continue }
            for profile in profiles { families[index].add(0, [profile]) }
        }
        self.families = Mutex(families)
    }

    // MARK: What happened

    /// A request got its reply, whatever it was.
    package func requestEnded(route: StaticString, status: Int) {
        add(.requests, 1, "\(route)", (100..<600).contains(status) ? "\(status)" : "other")
    }

    package func firstToken(profile: String, after wait: Duration) { add(.firstToken, wait, profile) }

    package func nextToken(profile: String, after wait: Duration) { add(.nextToken, wait, profile) }

    /// An answer ended.
    ///
    /// - Parameters:
    ///   - profile: It was computed in.
    ///   - reason: Why it ended.
    ///   - promptTokens: Of its prompt.
    ///   - generatedTokens: Its own.
    ///   - usage: What it cost.
    ///   - duration: Since the request came.
    package func answerEnded(
        profile: String, _ reason: FinishReason, promptTokens: Int, generatedTokens: Int,
        usage: SessionUsage, after duration: Duration
    ) {
        let word =
            switch reason {
            case .cancelled: "abort"
            case .failed: "error"
            case .stop, .length: reason.rawValue
            }
        add(.answers, 1, profile, word)
        if reason == .cancelled { add(.cancelled, 1, profile) }
        for (metric, count) in [
            (Metric.promptTokens, promptTokens), (.queriedTokens, promptTokens),
            (.cachedTokens, usage.cachedTokens), (.generatedTokens, generatedTokens),
            (.exchanges, usage.traffic.exchanges), (.bytesSent, usage.traffic.bytesSent),
            (.bytesReceived, usage.traffic.bytesReceived),
        ] { add(metric, Double(count), profile) }
        add(.duration, duration, profile)
        add(.queue, usage.queueTime, profile)
    }

    private func add(_ metric: Metric, _ duration: Duration, _ labels: String...) {
        add(metric, max(0, duration / .seconds(1)), labels)
    }

    private func add(_ metric: Metric, _ value: Double, _ labels: String...) { add(metric, value, labels) }

    private func add(_ metric: Metric, _ value: Double, _ labels: [String]) {
        families.withLock { $0[metric.rawValue].add(value, labels) }
    }

    // MARK: What is

    /// All metrics in Prometheus' text exposition format, with what the engine of each profile is busy with.
    package func text(
        _ loads: [(profile: String, load: EngineLoop.Load)], sealed: [(profile: String, SealedReport)] = []
    ) -> String {
        var families = families.withLock(\.self)
        for (profile, report) in sealed {
            let (use, values) = (report.pads, report.values)
            for (metric, value) in [
                (Metric.padsDirect, Double(use.direct)), (.padsPeer, Double(use.peer)),
                (.padsBanked, Double(use.banked)), (.padsStalled, use.stalledSeconds),
                (.refused, Double(values.refused)), (.computedHere, Double(values.computedHere)),
            ] { families[metric.rawValue].set(value, [profile]) }
        }
        for (profile, load) in loads {
            for (metric, value) in [
                (Metric.running, load.running), (.waiting, load.waiting), (.kept, load.kept),
                (.reconnects, load.reconnects), (.rebuilds, load.rebuilds),
                (.sealed, load.vault.sealed), (.restored, load.vault.restored), (.lost, load.vault.lost),
                (.drafts, load.speculation.steps), (.proposed, load.speculation.proposed),
                (.accepted, load.speculation.accepted),
            ] { families[metric.rawValue].set(Double(value), [profile]) }
        }
        var text = ""
        for family in families { family.write(constant: ("model_name", model), to: &text) }
        return text
    }
}
