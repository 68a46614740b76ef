import SCXEngine
import SCXGateway
import SCXInference
import SCXLink
import Testing

@Suite("API errors")
struct APIErrorTests {
    @Test("what the engine refuses has the status that clients act on")
    func statuses() {
        let cases: [(any Error, Int, String?)] = [
            (AdmissionError.tooManyOfKey(limit: 3), 429, "rate_limit_exceeded"),
            (AdmissionError.queueFull(limit: 3), 503, "server_overloaded"),
            (AdmissionError.draining, 503, "server_draining"),
            (EngineError.promptTooLong(tokens: 9, limit: 4), 400, "context_length_exceeded"),
            (EngineError.emptyPrompt, 400, nil),
            (SamplingError.nothingToChoose, 502, "no_probabilities"),
            (LinkError.workerFull("x"), 503, "worker_full"),
            (LinkError.disconnected("secret"), 503, "worker_unavailable"),
        ]
        for (error, status, code) in cases {
            let api = APIError(error)
            #expect(api.status == status)
            #expect(api.code == code)
            #expect((api.retryAfter != nil) == (status == 429 || status == 503))
            #expect(!api.message.contains("secret"))
        }
    }

    @Test("the body has the four fields, null where there is nothing to say")
    func body() {
        let text = APIError.invalid("'n' must be a whole number.", param: "n").json.text
        let expected =
            #"{"error":{"message":"'n' must be a whole number.","type":"invalid_request_error","param":"n","code":null}}"#
        let json = try? JSON(parsing: text)
        #expect(json == (try? JSON(parsing: expected)))
    }

    @Test("a field of the wrong kind is named with its place")
    func fields() throws {
        let fields = JSONFields(
            try JSON(parsing: #"{"a": 1, "b": null, "l": [{"x": "y"}, 3], "o": {"t": "z"}}"#), path: "")
        #expect(try fields.int("a", 0...5) == 1)
        #expect(try fields.string("b") == nil)
        #expect(try fields.object("o")?.string("t") == "z")
        #expect(throws: APIError.invalid("'a' must be a string.", param: "a")) { try fields.string("a") }
        #expect(throws: APIError.invalid("'l[1]' must be an object.", param: "l[1]")) {
            try fields.objects("l")
        }
        #expect(throws: APIError.invalid("'o.t' must be true or false.", param: "o.t")) {
            try fields.object("o")?.bool("t")
        }
    }
}
