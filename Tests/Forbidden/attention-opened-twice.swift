// expect: 'exchange' consumed more than once
import SCXEncoding
import SCXLink

func leak(_ exchange: consuming AttentionExchange, _ answer: inout AnswerParts) throws {
    _ = try exchange.open(&answer)
    _ = try exchange.open(&answer)
}
