import SCXGateway
import SCXInference
import Synchronization
import Testing

@Suite("Kept responses")
struct ResponseStoreTests {
    private func create(
        _ body: String, _ answers: FakeAnswering, _ store: ResponseStore, key: String = "alice"
    ) async throws -> String {
        let reply = try await ResponsesRoutes.create(request(body, key: key), answers, store)
        guard case .json(let json, _) = reply, let id = json["id"]?.string else { throw WrongReply() }
        return id
    }

    @Test("a conversation goes on after a response, with instructions of its own")
    func continues() async throws {
        let (answers, store) = (try FakeAnswering(saying: "Hello"), ResponseStore())
        let first = try await create(#"{"input":"Hi","instructions":"A"}"#, answers, store)
        let second = try await create(
            #"{"input":"Again","instructions":"B","previous_response_id":"\#(first)"}"#, answers, store)
        let messages = try #require(answers.messages)
        let hello = #"{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}"#
        #expect(messages == #"[{"role":"system","content":"B"},\#(hello),{"role":"user","content":"Again"}]"#)
        _ = try await create(#"{"input":"End","previous_response_id":"\#(second)"}"#, answers, store)
        let all = try #require(answers.messages)
        #expect(
            all
                == #"[\#(hello),{"role":"user","content":"Again"},{"role":"assistant","content":"Hello"},{"role":"user","content":"End"}]"#
        )
    }

    @Test("what was thought goes on with the conversation, unless nothing was said after it")
    func continuesThoughts() async throws {
        let store = ResponseStore()
        let thinking = try FakeAnswering(telling: [
            .reasoning("Hm.", tokens: []), .text("Yes", tokens: []), .finished(.end, .example),
        ])
        let first = try await create(#"{"input":"Hi"}"#, thinking, store)
        let silent = try FakeAnswering(telling: [.reasoning("Hm.", tokens: []), .finished(.length, .example)])
        let second = try await create(#"{"input":"And?","previous_response_id":"\#(first)"}"#, silent, store)
        let answers = try FakeAnswering(saying: "Done")
        _ = try await create(#"{"input":"So?","previous_response_id":"\#(second)"}"#, answers, store)
        let expected = #"""
            [{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes","reasoning_content":"Hm."},\#
            {"role":"user","content":"And?\nSo?"}]
            """#
        #expect(answers.messages == expected)
    }

    @Test("a call that was kept can be answered")
    func continuesCall() async throws {
        let store = ResponseStore()
        let calling = try FakeAnswering(telling: [
            .callBegan(index: 0, id: "c1", name: "f"), .callArguments(index: 0, #"{"a":1}"#),
            .finished(.toolCalls, .example),
        ])
        let first = try await create(#"{"input":"Hi"}"#, calling, store)
        let answers = try FakeAnswering(saying: "Done")
        let item = #"{"type":"function_call_output","call_id":"c1","output":"2"}"#
        _ = try await create(#"{"input":[\#(item)],"previous_response_id":"\#(first)"}"#, answers, store)
        let messages = try #require(answers.messages)
        let expected = #"""
            [{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[\#
            {"id":"c1","type":"function","function":{"name":"f","arguments":{"a":1}}}]},\#
            {"role":"tool","content":"2","tool_call_id":"c1"}]
            """#
        #expect(messages == expected)
    }

    @Test("a response belongs to the key that asked for it")
    func owners() async throws {
        let (answers, store) = (try FakeAnswering(saying: "Hello"), ResponseStore())
        let id = try await create(#"{"input":"Hi"}"#, answers, store)
        let continuing = #"{"input":"x","previous_response_id":"\#(id)"}"#
        let taken = await failure {
            try await ResponsesRoutes.create(request(continuing, key: "bob"), answers, store)
        }
        #expect(taken?.status == 404 && taken?.param == "previous_response_id")
        #expect(taken?.code == "previous_response_not_found")
        let others = try request("{}", name: id, key: "bob")
        let read = await failure { try await ResponsesRoutes.get(others, store) }
        let deleted = await failure { try await ResponsesRoutes.delete(others, store) }
        #expect(read?.status == 404 && deleted?.status == 404)

        let own = try request("{}", name: id, key: "alice")
        #expect(try await ResponsesRoutes.get(own, store).json().contains("Hello"))
        let gone = try await ResponsesRoutes.delete(own, store).json()
        #expect(gone == #"{"id":"resp_X","object":"response","deleted":true}"#)
        let again = await failure { try await ResponsesRoutes.get(own, store) }
        #expect(again?.status == 404)
    }

    @Test("what is not to be stored is not")
    func unstored() async throws {
        let (answers, store) = (try FakeAnswering(saying: "Hello"), ResponseStore())
        let id = try await create(#"{"input":"Hi","store":false}"#, answers, store)
        let own = try request("{}", name: id, key: "alice")
        let error = await failure { try await ResponsesRoutes.get(own, store) }
        #expect(error?.status == 404)
    }

    @Test("the oldest are forgotten where there are too many, too many bytes or too old ones")
    func bounds() {
        var limits = MemoryResponses.Limits()
        (limits.count, limits.bytes, limits.age) = (3, 10, .seconds(60))
        let clock = Clock()
        let memory = MemoryResponses(limits: limits, now: { clock.now })
        func has(_ id: String) -> Bool { memory.get(id, owner: "a") != nil }

        for id in ["1", "2", "3", "4"] { memory.put(id, owner: "a", [0]) }
        #expect(!has("1") && has("2") && has("4"))
        memory.put("5", owner: "a", [UInt8](repeating: 0, count: 9))
        #expect(!has("2") && !has("3") && has("4") && has("5"))
        #expect(memory.size == (2, 10))
        memory.put("6", owner: "a", [UInt8](repeating: 0, count: 11))
        #expect(!has("6") && memory.size == (0, 0))
        memory.put("7", owner: "a", [0])
        clock.advance(by: .seconds(61))
        #expect(!has("7"))
        memory.put("8", owner: "a", [0])
        #expect(memory.size == (1, 1))
        for id in 0..<1000 {
            memory.put("x\(id)", owner: "a", [0])
            #expect(memory.delete("x\(id)", owner: "a"))
        }
        #expect(has("8") && memory.size == (1, 1))
    }

    @Test("nothing of a response shows in descriptions")
    func silent() async throws {
        let (answers, store) = (try FakeAnswering(saying: "canary"), ResponseStore())
        _ = try await create(#"{"input":"canary"}"#, answers, store)
        #expect(!"\(store) \(String(reflecting: store))".contains("canary"))
    }

    private final class Clock: Sendable {
        private let time = Mutex(ContinuousClock.now)

        var now: ContinuousClock.Instant { time.withLock { $0 } }
        func advance(by duration: Duration) { time.withLock { $0 += duration } }
    }
}
