import SCXEngine
import SCXGateway
import SCXLink
import Testing

@Suite("metrics of the server")
struct ServerMetricsTests {
    /// Samples by name and labels, as a reader of the format finds them.
    static func samples(_ text: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let space = try #require(line.lastIndex(of: " "))
            let name = String(line[..<space])
            #expect(samples[name] == nil, "\(name) is there twice")
            let value: Double = try #require(Double(String(line[line.index(after: space)...])))
            samples[name] = value
        }
        return samples
    }

    static func usage() -> SessionUsage {
        var usage = SessionUsage()
        usage.cachedTokens = 30
        usage.queueTime = .milliseconds(250)
        usage.traffic.exchanges = 12
        (usage.traffic.bytesSent, usage.traffic.bytesReceived) = (1_000, 2_000)
        return usage
    }

    @Test("counts what happened, by profile, under the own names and those of vLLM")
    func counts() throws {
        let metrics = ServerMetrics(model: "tiny", profiles: ["scx", "plain"])
        metrics.requestEnded(route: "/v1/chat/completions", status: 200)
        metrics.requestEnded(route: "/v1/chat/completions", status: 200)
        metrics.requestEnded(route: "/v1/models", status: 404)
        metrics.requestEnded(route: "/v1/models", status: 1_000_000)
        for (profile, reason) in [("scx", FinishReason.stop), ("plain", .stop), ("scx", .cancelled)] {
            metrics.answerEnded(
                profile: profile, reason, promptTokens: 40, generatedTokens: 7, usage: Self.usage(),
                after: .milliseconds(1_500))
        }
        var load = EngineLoop.Load()
        (load.running, load.waiting, load.kept, load.reconnects) = (3, 2, 5, 1)
        (load.vault.sealed, load.vault.restored, load.vault.lost) = (4, 2, 1)
        (load.speculation.steps, load.speculation.proposed, load.speculation.accepted) = (6, 20, 11)
        let found = try Self.samples(metrics.text([("scx", load), ("plain", EngineLoop.Load())]))

        let chat = "scx_requests_total{model_name=\"tiny\",route=\"/v1/chat/completions\",status=\"200\"}"
        let expected: [String: Double] = [
            chat: 2,
            "scx_requests_total{model_name=\"tiny\",route=\"/v1/models\",status=\"404\"}": 1,
            "scx_requests_total{model_name=\"tiny\",route=\"/v1/models\",status=\"other\"}": 1,
            "scx_prompt_tokens_total{model_name=\"tiny\",profile=\"scx\"}": 80,
            "scx_generation_tokens_total{model_name=\"tiny\",profile=\"plain\"}": 7,
            "scx_cached_tokens_total{model_name=\"tiny\",profile=\"scx\"}": 60,
            "scx_exchanges_total{model_name=\"tiny\",profile=\"scx\"}": 24,
            "scx_bytes_sent_total{model_name=\"tiny\",profile=\"scx\"}": 2_000,
            "scx_bytes_received_total{model_name=\"tiny\",profile=\"plain\"}": 2_000,
            "scx_requests_cancelled_total{model_name=\"tiny\",profile=\"scx\"}": 1,
            "scx_requests_cancelled_total{model_name=\"tiny\",profile=\"plain\"}": 0,
            "scx_worker_reconnects_total{model_name=\"tiny\",profile=\"scx\"}": 1,
            "scx_sessions_kept{model_name=\"tiny\",profile=\"scx\"}": 5,
            "scx_sessions_sealed_total{model_name=\"tiny\",profile=\"scx\"}": 4,
            "scx_sessions_restored_total{model_name=\"tiny\",profile=\"scx\"}": 2,
            "scx_sessions_lost_total{model_name=\"tiny\",profile=\"scx\"}": 1,
            "scx_drafts_total{model_name=\"tiny\",profile=\"scx\"}": 6,
            "scx_draft_tokens_total{model_name=\"tiny\",profile=\"scx\"}": 20,
            "vllm:spec_decode_num_accepted_tokens_total{model_name=\"tiny\"}": 11,
            "vllm:num_requests_running{model_name=\"tiny\"}": 3,
            "vllm:num_requests_waiting{model_name=\"tiny\"}": 2,
            "vllm:prompt_tokens_total{model_name=\"tiny\"}": 120,
            "vllm:generation_tokens_total{model_name=\"tiny\"}": 21,
            "vllm:prefix_cache_queries_total{model_name=\"tiny\"}": 120,
            "vllm:prefix_cache_hits_total{model_name=\"tiny\"}": 90,
            "vllm:request_success_total{model_name=\"tiny\",finished_reason=\"stop\"}": 2,
            "vllm:request_success_total{model_name=\"tiny\",finished_reason=\"abort\"}": 1,
            "scx_queue_time_seconds_sum{model_name=\"tiny\",profile=\"scx\"}": 0.5,
            "vllm:request_queue_time_seconds_bucket{model_name=\"tiny\",le=\"0.25\"}": 3,
            "vllm:e2e_request_latency_seconds_count{model_name=\"tiny\"}": 3,
            "vllm:e2e_request_latency_seconds_sum{model_name=\"tiny\"}": 4.5,
        ]
        for (name, value) in expected { #expect(found[name] == value, "\(name)") }

        // Gauges are what they are, also when asked again.
        let again = try Self.samples(metrics.text([("scx", load)]))
        #expect(again["vllm:num_requests_running{model_name=\"tiny\"}"] == 3)
    }

    @Test("times fall into cumulative buckets")
    func histograms() throws {
        let metrics = ServerMetrics(model: "m", profiles: ["scx"])
        for milliseconds in [0, 1, 2, 30, 30, 1_000_000] {
            metrics.nextToken(profile: "scx", after: .milliseconds(milliseconds))
        }
        metrics.nextToken(profile: "scx", after: .seconds(-5))
        metrics.firstToken(profile: "scx", after: .milliseconds(5))
        let found = try Self.samples(metrics.text([]))
        func bucket(_ bound: String) -> Double? {
            found["scx_time_between_tokens_seconds_bucket{model_name=\"m\",profile=\"scx\",le=\"\(bound)\"}"]
        }
        #expect(bucket("0.001") == 3)
        #expect(bucket("0.0025") == 4)
        #expect(bucket("0.025") == 4)
        #expect(bucket("0.05") == 6)
        #expect(bucket("640") == 6)
        #expect(bucket("+Inf") == 7)
        for name in ["vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds"] {
            #expect(found["\(name)_count{model_name=\"m\"}"] == 7)
            #expect(found["\(name)_bucket{model_name=\"m\",le=\"0.05\"}"] == 6)
        }
        #expect(found["vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.005\"}"] == 1)
    }

    @Test("every family has a type and a help line before its samples, and odd names are escaped")
    func format() throws {
        let metrics = ServerMetrics(model: "a\"b\\c\nd", profiles: ["scx"])
        metrics.firstToken(profile: "scx", after: .seconds(1))
        let text = metrics.text([("scx", EngineLoop.Load())])
        #expect(text.hasSuffix("\n"))
        #expect(text.contains("{model_name=\"a\\\"b\\\\c\\nd\""))
        var families: Set<Substring> = []
        var current: Substring = ""
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# HELP ") {
                #expect(families.insert(words[2]).inserted, "\(words[2]) comes twice")
                current = words[2]
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == current)
                #expect(["counter", "gauge", "histogram"].contains(words[3]))
            } else {
                #expect(line.hasPrefix(current))
            }
        }
        for name in [
            "scx_time_to_first_token_seconds", "vllm:num_requests_running", "vllm:request_success_total",
        ] { #expect(families.contains(name[...])) }
    }

    @Test("many threads count together")
    func threads() async throws {
        let metrics = ServerMetrics(model: "m", profiles: ["scx"])
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<200 { metrics.requestEnded(route: "/health", status: 200) }
                    _ = metrics.text([])
                }
            }
        }
        let name = "scx_requests_total{model_name=\"m\",route=\"/health\",status=\"200\"}"
        #expect(try Self.samples(metrics.text([]))[name] == 1_600)
    }
}
