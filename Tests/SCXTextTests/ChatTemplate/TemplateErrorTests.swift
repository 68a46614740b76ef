import Foundation
import SCXEngine
import SCXInference
import SCXText
import Testing

@Suite("chat template faults")
struct TemplateErrorTests {
    private static func reason(_ source: String, _ variables: [JSON.Member] = []) -> String? {
        do throws(TemplateError) {
            _ = try ChatTemplate(source: source, name: "chat_template.jinja").render(variables)
            return nil
        } catch { return error.description }
    }

    @Test(
        "an unsupported construct is named, with its line",
        arguments: [
            (
                "a\nb\n{% import 'x' as y %}",
                "line 3: unsupported tag 'import': a chat template is one text"
            ),
            ("{% include 'x' %}", "line 1: unsupported tag 'include': a chat template is one text"),
            ("{% trans %}", "line 1: unsupported tag 'trans'"),
            ("{% call m %}{% endcall %}", "line 1: 'call' needs a call of a macro"),
            ("{% if 1 %}\n{{ 1 | urlize }}{% endif %}", "line 2: unsupported filter 'urlize'"),
            ("\n{{ 'a' | urlize }}", "line 2: unsupported filter 'urlize'"),
            ("{{ 1 is sorted }}", "line 1: unsupported test 'sorted'"),
            ("{{ lipsum(1) }}", "line 1: unsupported function 'lipsum'"),
            ("{{ [].append(1) }}", "line 1: unsupported method 'append': a list cannot be changed"),
            ("{% if x %}\n\n", "line 2: 'endif' is missing"),
            ("\n{{ gone.x }}", "line 2: 'gone' is undefined"),
        ])
    func named(source: String, reason: String) {
        #expect(Self.reason(source) == "chat_template.jinja \(reason)")
    }

    @Test("a template's own words are passed on, a message's are not")
    func secrets() {
        let secret = [JSON.Member("s", .string("SECRET")), .init("d", .object([.init("SECRET", .int(1))]))]
        #expect(Self.reason("{{ raise_exception('No ' 'way') }}") == "chat_template.jinja line 1: No way")
        for source in [
            "{{ raise_exception(s) }}", "{{ raise_exception('No ' + s) }}", "{{ s + 1 }}", "{{ d[s][s].x }}",
            "{{ s.nope.x }}",
            "{{ s['x'].y }}", "{{ [s] + s }}", "{{ s % 3 }}", "{{ s.index('q') }}", "{{ dict(**d).x.y }}",
            "{{ s() }}",
            "{% macro m() %}{% endmacro %}{{ m(**d) }}", "{{ 'x' | int(**d) }}", "{{ xs | map(s) }}",
            "{{ [s] | map(s) | list }}",
            "{{ [s] | select(s) | list }}", "{{ [d] | map(attribute=s).x }}", "{{ range(s) }}",
            "{{ strftime_now('%Q' + s) }}",
            "{{ s.SECRET.x }}", "{{ namespace(**d).y.z }}", "{{ missing[s] }}", "{{ s | round }}",
            "{{ d | attr }}",
        ] {
            let reason = Self.reason(source, secret)
            #expect(reason != nil, "\(source)")
            // Only a name that the template itself spells may appear.
            #expect(
                source.contains("SECRET") || reason?.contains("SECRET") != true, "\(source): \(reason ?? "")")
        }
    }

    @Test("work, memory and nesting are bounded")
    func bounds() {
        let deep = 100_000
        let hostile = [
            "{{ " + String(repeating: "(", count: deep), "{{ " + String(repeating: "[", count: deep),
            String(repeating: "{{ -", count: deep),
            "{{ " + String(repeating: "not ", count: deep) + "x }}",
            "{{ " + String(repeating: "-", count: deep) + "1 }}",
            "{{ (" + String(repeating: "(", count: 40) + "1" + String(repeating: ")", count: 41)
                + String(repeating: ".a", count: deep) + " }}",
            "{{ x" + String(repeating: "|upper", count: deep) + " }}",
            "{{ 1" + String(repeating: " + 1", count: deep) + " }}",
            "{{ 1" + String(repeating: " if 1 else 1", count: deep) + " }}",
            String(repeating: "{% if 1 %}", count: deep), String(repeating: "{% for x in y %}", count: deep),
            "{% set " + String(repeating: "(", count: deep) + "a",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% macro f(x) %}{{ f(((((((((((x + 1))))))))))) }}{% endmacro %}{{ f(1) }}",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "{% set n = namespace(x=[1, 2]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x, n.x] %}{% endfor %}",
            "{% set n = namespace(x=[]) %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
            "{% set n = namespace(x=[]) %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == [n.x] }}{{ n.x | tojson }}",
            "{{ 'x' * 1000000000000 }}", "{{ [1] * 1000000000000 }}",
            "{{ range(0, 9223372036854775807, 1) }}",
            "{{ range(-9223372036854775807, 9223372036854775807) }}", "{{ 9223372036854775807 + 1 }}",
            "{{ 2 ** 64 }}", "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
            "{{ 99999999999999999999 }}",
            "{{ 'a'.ljust(99999999999) * 9 }}",
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        ]
        for source in hostile {
            #expect(Self.reason(source) != nil, "\(source.prefix(60))")
        }
        // At the edge, but legal.
        for source in [
            "{{ range(5, 10, 9223372036854775807) | list }}", "{{ 'abc'[::9223372036854775807] }}",
            "{{ 'abc'[:-9223372036854775807:-9223372036854775807] }}",
            "{{ (-9223372036854775807 - 1) | abs if false }}", "{{ '' * 9223372036854775807 }}",
            "{% set n = namespace() %}{% set n.me = n %}{% macro m() %}{% endmacro %}{% set n.m = m %}",
            "{% set n = namespace(l=0) %}{% for i in range(300) %}{% for x in [n.l] %}{% set n.l = loop %}{% endfor %}{% endfor %}",
            "{% set n = namespace(l=0) %}{% for i in range(3000) %}{% for x in [n.l] %}{% macro m() %}{% endmacro %}{% set n.l = m %}{% endfor %}{% endfor %}",
        ] {
            _ = Self.reason(source)
        }
    }

    @Test("cut and changed templates give a text or an error, never a crash")
    func fuzz() throws {
        let variables = try #require(try ChatTemplateTests.fixture("cases.json")["variables"]?.object)
        var sources = try #require(try ChatTemplateTests.fixture("cases.json")["cases"]?.array).compactMap {
            $0["template"]?.string
        }
        for name in ["inst-tools", "headers-tools", "thinking", "schema-macros"] {
            sources.append(try ChatTemplateTests.fixture("\(name).json")["template"]?.string ?? "")
        }
        let rounds = ProcessInfo.processInfo.environment["SCX_FUZZ"].flatMap { Int($0) } ?? 2
        var random = RandomBits(seed: 1)
        let pieces =
            Array("{}%#()[]|.,:'\"\\+-*/~<>=!_ \n0aé\u{301}")
            + [
                "{%", "%}", "{{", "}}", "{#", "-%}", "**", "is", "not", "in", "endfor", "for x in xs",
                "9999999999",
            ]
            .flatMap { Array($0) }
        for _ in 0..<rounds {
            for source in sources {
                var scalars = Array(source.unicodeScalars)
                guard !scalars.isEmpty else { continue }
                if random.next() % 3 == 0 {
                    scalars = Array(scalars.prefix(Int(random.next() % UInt64(scalars.count))))
                }
                for _ in 0..<(random.next() % 4) where !scalars.isEmpty {
                    let place = Int(random.next() % UInt64(scalars.count))
                    let piece = pieces[Int(random.next() % UInt64(pieces.count))].unicodeScalars
                    switch random.next() % 3 {
                    case 0: scalars.remove(at: place)
                    case 1: scalars.insert(contentsOf: piece, at: place)
                    default: scalars.replaceSubrange(place...place, with: piece)
                    }
                }
                var changed = String.UnicodeScalarView()
                changed.append(contentsOf: scalars)
                _ = Self.reason(String(changed), variables)
            }
        }
    }
}
