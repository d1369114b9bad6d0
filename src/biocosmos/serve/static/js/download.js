// Asking the server for a file by POST: it is saved, or a job makes it.
import { toast } from "./toast.js";

/** POST `body` to `path`. A file is saved under the name that the server gives it; a job is pointed to. */
export async function download(path, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    toast("the server does not answer: is it still running?", { error: true });
    return;
  }
  if (!response.ok || response.status === 202) {
    const answer = await response.json().catch(() => null);
    if (response.ok) toast("a job makes the file", { action: { label: "See the jobs", run: () => location.assign("/jobs") }, seconds: 10 });
    else toast(answer?.error ?? `the server answered ${response.status}`, { error: true });
    return;
  }
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "export.csv";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
