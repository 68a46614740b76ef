import SCXGateway
import Testing

@Suite("The page")
struct PageFileTests {
    @Test("it is whole, and refers to itself alone")
    func files() {
        let paths = Set(PageFile.all.map { "\($0.path)" })
        #expect(paths == ["/", "/page.css", "/page.js", "/view.js"])
        for file in PageFile.all {
            let text = String(validating: file.bytes, as: UTF8.self) ?? ""
            #expect(!text.isEmpty)
            // Content that the policy in the headers would block, or that would come from elsewhere.
            for word in [
                "http://", "https://", "onclick=", "<style", " style=", "innerHTML", "eval(", "Storage",
            ] {
                #expect(!text.contains(word), "\(file.path) has \(word)")
            }
        }
        let page = String(decoding: PageFile.all[0].bytes, as: UTF8.self)
        #expect(page.contains("<script type=\"module\" src=\"/page.js\"></script>"))
        #expect(page.contains("href=\"/page.css\""))
        #expect(PageFile.headers.contains { $0.name == "content-security-policy" })
    }
}
